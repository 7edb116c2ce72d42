"""To wait for what goes on whoever leaves: what was taken, and recorded, has somebody who knows of it.

Knows an event loop's futures. Must not know what is waited for.
"""

from __future__ import annotations

import asyncio
from typing import TypeVar

T = TypeVar("T")


async def outlasting(awaited: asyncio.Future[T]) -> tuple[T, bool]:
    """What comes, or is raised, however often whoever waits is cancelled; and whether that was so."""
    left = False
    while True:
        try:
            return await asyncio.shield(awaited), left
        except asyncio.CancelledError:
            if awaited.cancelled():
                raise
            left = True
