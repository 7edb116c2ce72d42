"""A clock that a test moves: sleepers wake in order, and what they begin is finished before time goes on."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count

from broker.adapters.clock import SystemClock

_NS = 1_000_000_000
_TURNS = 60  # of the event loop: more than any of our tasks needs without real I/O


class SteppedClock(SystemClock):
    """Implements `ports.Clock`; unix time and monotonic time move together."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        super().__init__()
        self._ns = int(now * _NS)
        self._sleeping: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()

    def now(self) -> float:
        return self._ns / _NS

    def now_ns(self) -> int:
        return self._ns

    def monotonic_ns(self) -> int:
        return self._ns

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleeping, (self._ns + int(seconds * _NS), next(self._order), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Time passes, as far as anything that uses this clock can tell."""
        until = self._ns + int(seconds * _NS)
        await settle()
        while self._sleeping and self._sleeping[0][0] <= until:
            at, _, woken = heapq.heappop(self._sleeping)
            if woken.done():
                continue
            self._ns = max(self._ns, at)
            woken.set_result(None)
            await settle()
        self._ns = until
        await settle()


async def settle() -> None:
    """Lets all that can go on without time go on."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)
