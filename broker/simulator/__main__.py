"""`python -m broker.simulator --port N [--host H] [--key-file F]`: the simulator as a process.

Knows: arguments and signals. Must not know: anything else.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import uvloop

from broker.simulator.server import SIMULATED_KEY, Simulator


def main() -> int:
    """Prints `ready URL` when it listens; ends on SIGINT or SIGTERM. 3: it could not start."""
    arguments = _parser().parse_args()
    try:
        keys = _keys(arguments.key_file)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(arguments.host, arguments.port, keys))
    except OSError as error:
        sys.stderr.write(f"simulator: {error.strerror}. Check --port and --key-file.\n")
        return 3
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m broker.simulator", description="A simulated OpenAI.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--key-file", type=Path, help="keys to accept, one a line (default: its own)")
    return parser


def _keys(path: Path | None) -> list[str]:
    written = path.read_text().split() if path is not None else []
    return written or [SIMULATED_KEY]


async def _serve(host: str, port: int, keys: list[str]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with Simulator(host, port, keys=keys) as simulator:
        sys.stdout.write(f"ready {simulator.url}\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    sys.exit(main())
