"""A process that a broker's supervisor has started: a worker, or the coordinator. Its standard input is the
socket on which it is told everything else.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from socket import AF_UNIX, SOCK_SEQPACKET, socket

from broker.adapters.telemetry import NativeLines, configure_log
from broker.app.coordinating import coordinate
from broker.app.session import live, run
from broker.app.worker import Worker, WorkerAdmission
from broker.listeners.sockets import BoundSocket

WORKER_STOP_SECONDS = 16.0


def worker(https_file_descriptor: int) -> bool:
    """Serves until it is told to end."""
    try:
        admitted = WorkerAdmission.receive(socket(fileno=0), https_file_descriptor)
    except OSError:
        return False  # whoever started it is gone

    async def session(stop: asyncio.Event) -> bool:
        log = admitted.settings.log
        with NativeLines() as native:
            configure_log(log.level, log.format)
            served = Worker(admitted, native)
            return await live(served, stop, _nothing, _nothing, seconds=WORKER_STOP_SECONDS)

    return run(session, seconds=WORKER_STOP_SECONDS)


def coordinator(admissions: int, console: int, address: str) -> bool:
    """Coordinates until its supervisor is gone. Signals that a terminal or a service manager sends to all are
    the supervisor's to heed.
    """
    handed = socket(AF_UNIX, SOCK_SEQPACKET, fileno=admissions)
    bound = BoundSocket(address, inherited=console)

    async def session(_stop: asyncio.Event) -> bool:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, lambda: None)
        return await coordinate(socket(fileno=0), handed, bound)

    return run(session)


def main() -> None:
    """Exits with 3 where nobody has started it as it must be."""
    match sys.argv[1:]:
        case ["worker", https] if https.isdigit():
            good = worker(int(https))
        case ["coordinator", admissions, console, address] if admissions.isdigit() and console.isdigit():
            good = coordinator(int(admissions), int(console), address)
        case _:
            print("A broker's supervisor starts this: run `broker serve`.", file=sys.stderr)
            sys.exit(3)
    sys.exit(0 if good else 1)


def _nothing(_worker: Worker) -> None:
    """The coordinator tells the supervisor."""


if __name__ == "__main__":
    main()
