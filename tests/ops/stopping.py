"""A start that stops at one of its parts, for a child of `tests.nursery`."""

from __future__ import annotations

import asyncio
import errno
import sys
from typing import Any
from unittest import mock

from broker.app.parts import StartedParts


def stop_at(chosen: str) -> None:
    """From now on a start says `begun` when that part has begun and waits for a line on standard input, and
    fails where that says so.
    """
    add, begin = StartedParts.add, StartedParts.begin

    def heed(said: str) -> None:
        if said == "fail\n":
            raise OSError(errno.EIO, "made to fail", chosen)

    def stopping_add(self: StartedParts, part: str, *how: Any) -> None:
        add(self, part, *how)
        if part == chosen and sys._getframe(1).f_code.co_name != "begin":
            heed(sys.stdin.readline())

    async def stopping_begin(self: StartedParts, part: str, *how: Any) -> object:
        done = await begin(self, part, *how)
        if part == chosen:
            print("begun", flush=True)
            await asyncio.sleep(0.5)  # so that a key is made, or is just being made
            heed(await asyncio.to_thread(sys.stdin.readline))
        return done

    mock.patch.multiple(StartedParts, add=stopping_add, begin=stopping_begin).start()
