"""`broker dev` with a probe in its event loop: python -m tests.e2e.probed FILE dev …

Each line of FILE is one turn: when it ended (monotonic seconds), and how much CPU time the process spent
between two turns that were 5 ms apart. That is what anything on the loop, or in a thread that holds Python's
lock, has kept everybody waiting; what other processes of a busy machine take is not in it.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import uvloop

from broker.cli.main import main

APART_SECONDS = 0.005
_run = uvloop.run


async def _probe(file: Path) -> None:
    with file.open("a", buffering=1) as lines:
        spent = time.process_time()
        while True:
            await asyncio.sleep(APART_SECONDS)
            before, spent = spent, time.process_time()
            lines.write(f"{time.monotonic():.4f} {spent - before:.4f}\n")


def _probed(session: Coroutine[Any, Any, bool]) -> bool:
    async def both() -> bool:
        probing = asyncio.create_task(_probe(FILE))
        try:
            return await session
        finally:
            probing.cancel()

    return _run(both())


if __name__ == "__main__":
    FILE = Path(sys.argv.pop(1))
    uvloop.run = _probed  # type: ignore[assignment]  # the one way in which it is called
    main()
