"""How many calls may be under way at once, and whose turn it is where no more may.

Knows: calls that wait, in their order. Must not know: connections. An `asyncio.Semaphore` costs four times as
much where nobody waits, which is nearly always.
"""

from __future__ import annotations

import asyncio
from collections import deque


class ConnectionSlots:
    """So many at once; who has waited longest goes first. Use it from one event loop."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: deque[asyncio.Future[None]] = deque()

    def take(self) -> bool:
        """Whether there was one, which is taken now; `wait` for one otherwise."""
        if not self._free:
            return False
        self._free -= 1
        return True

    async def wait(self, seconds: float) -> None:
        """Returns once one was given over. Raises TimeoutError after so many seconds."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(seconds):
                await turn
        except BaseException:
            if not turn.cancelled():  # it came when nobody wanted it any more
                self.give()
            raise

    def give(self) -> None:
        """One that was taken goes to who has waited longest, or is free."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
