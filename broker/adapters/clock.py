"""The system's clock and randomness behind the Clock port."""

from __future__ import annotations

import asyncio
import os
import time


class SystemClock:
    """Implements `ports.Clock`. `now_ns` is unix time; `monotonic_ns` never goes back."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def random_bytes(self, size: int) -> bytes:
        return os.urandom(size)
