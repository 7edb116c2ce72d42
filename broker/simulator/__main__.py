"""`python -m broker.simulator [--port N] [--host H] [--key-file F] [--organization F]`: a process of its own.

Knows: arguments, files and signals. Must not know: anything else.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import msgspec
import uvloop

from broker.simulator.federation import Provider
from broker.simulator.organization import Organization
from broker.simulator.server import SIMULATED_KEY, Simulator


class _Owned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file of `--organization`: its admin keys, its projects, and the issuers that it trusts."""

    admin_keys: list[str] = []
    projects: list[str] = []
    providers: list[Provider] = []


def main() -> int:
    """Prints `ready URL` when it listens; ends on SIGINT or SIGTERM. 3: it could not start."""
    arguments = _parser().parse_args()
    try:
        keys = _keys(arguments.key_file)
        owned = _owned(arguments.organization)
        simulator = Simulator(
            arguments.host,
            arguments.port,
            keys=keys,
            organization=Organization(admin_keys=owned.admin_keys, projects=owned.projects),
            providers=owned.providers,
        )
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(simulator))
    except OSError as error:
        sys.stderr.write(f"simulator: {error.strerror}. Check --port, --key-file and --organization.\n")
        return 3
    except msgspec.MsgspecError as error:
        sys.stderr.write(f"simulator: {error}. Check the file of --organization.\n")
        return 3
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m broker.simulator", description="A simulated OpenAI.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--key-file", type=Path, help="keys to accept, one a line (default: its own)")
    parser.add_argument(
        "--organization",
        type=Path,
        help="a JSON file with admin_keys, projects and providers (default: none)",
    )
    return parser


def _keys(path: Path | None) -> list[str]:
    written = path.read_text().split() if path is not None else []
    return written or [SIMULATED_KEY]


def _owned(path: Path | None) -> _Owned:
    return _Owned() if path is None else msgspec.json.decode(path.read_bytes(), type=_Owned)


async def _serve(simulator: Simulator) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with simulator:
        sys.stdout.write(f"ready {simulator.url}\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    sys.exit(main())
