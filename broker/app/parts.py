"""How the parts of a process begin and end: what began last ends first, and whatever becomes of one, the
others still end.

Knows: an order, and how long a part may take to end. Must not know: any part.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import TypeVar

import structlog

STEP_SECONDS = 5.0
LONG_STEP_SECONDS = 12.0
"""Of the steps that may have to wait for others: calls under way, the disk, OpenAI's deletion of accounts."""
_T = TypeVar("_T")

End = Callable[[], Coroutine[object, object, object]]
"""How a part ends. It may be asked of a part that began only partly, or not at all."""


class StartedParts:
    """The parts of one process, on one event loop. A start that fails and a stop both end with `end`."""

    def __init__(self) -> None:
        self._begun = AsyncExitStack()
        self._log = structlog.get_logger()

    def add(self, part: str, end: End, seconds: float = STEP_SECONDS) -> None:
        """From now on `end` is due for the part, within `seconds`."""
        self._begun.push_async_callback(self._end_part, part, end, seconds)

    async def begin(
        self, part: str, begin: Callable[[], Awaitable[_T]], end: End, seconds: float = STEP_SECONDS
    ) -> _T:
        """Begins the part. What it had begun when it fails is ended by `end`, too."""
        self.add(part, end, seconds)
        return await begin()

    def run(self, part: str, work: Coroutine[object, object, None]) -> None:
        """Has it run beside all others until its end is due."""
        task = asyncio.ensure_future(work)

        async def end() -> None:
            task.cancel()
            await asyncio.wait({task})

        self.add(part, end)

    async def end(self) -> None:
        """Ends whatever has begun, the last first. Twice does nothing."""
        await self._begun.aclose()

    async def _end_part(self, part: str, end: End, seconds: float) -> None:
        """What goes wrong is told, and holds up nothing that comes after."""
        task = asyncio.ensure_future(end())
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if not done:
            task.cancel()
            self._log.error("not_stopped_in_time", part=part, seconds=seconds)
        elif (error := _error_of(task)) is not None:
            self._log.error("not_stopped_cleanly", part=part, error=type(error).__name__)


def _error_of(task: asyncio.Future[object]) -> BaseException | None:
    """Why a task that is done failed."""
    return asyncio.CancelledError() if task.cancelled() else task.exception()
