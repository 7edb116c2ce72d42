"""Work that goes on side by side, and ends together."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine


async def until_one_ends(*work: Coroutine[object, object, None]) -> None:
    """Ends the others then. Raises what that one has raised."""
    tasks = {asyncio.create_task(each) for each in work}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for each in done:
            each.result()
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.wait(tasks)
