"""A sleep that can be cut short.

Knows: one sleeper. Must not know: what for. Belongs to one event loop.
"""

from __future__ import annotations

import asyncio

from broker.ports import Clock


class WakeableSleep:
    """One task sleeps here at a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sleep: asyncio.Task[None] | None = None

    async def sleep(self, seconds: float) -> None:
        """Returns after so many seconds, or when `end` is called."""
        self._sleep = asyncio.ensure_future(self._clock.sleep(max(seconds, 0.0)))
        try:
            await asyncio.wait({self._sleep})
        finally:
            self._sleep.cancel()
            self._sleep = None

    def end(self) -> None:
        """Wakes who sleeps; nothing where nobody does."""
        if self._sleep is not None:
            self._sleep.cancel()
