"""The system's clock and randomness behind the Clock port."""

from __future__ import annotations

import asyncio
import os
import time

_POOL_BYTES = 4096


class SystemClock:
    """Implements `ports.Clock`. `now_ns` is unix time; `monotonic_ns` never goes back.

    Random bytes come from the kernel by the page: each is given out once, and a call does not cost a
    system call. Used from one event loop; a forked child must make its own.
    """

    def __init__(self) -> None:
        self._pool = b""

    now_ns = staticmethod(time.time_ns)
    monotonic_ns = staticmethod(time.monotonic_ns)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def random_bytes(self, size: int) -> bytes:
        if len(self._pool) < size:
            self._pool = os.urandom(max(size, _POOL_BYTES))
        taken, self._pool = self._pool[:size], self._pool[size:]
        return taken
