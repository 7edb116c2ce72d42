"""Policies that a doctor has found good once are not tried again while they stay the same: a trial is a
process of its own, and most tests of the doctor ask about something else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from broker.config import Settings

T = TypeVar("T")
Trial = Callable[[Settings], Awaitable[T]]


def once(trial: Trial[T]) -> Trial[T]:
    """`trial`, which keeps what it made of a folder's contents, but not what it refused."""
    known: dict[frozenset[tuple[Path, bytes]], T] = {}

    async def tried(settings: Settings) -> T:
        folder = settings.policy.directory
        if settings.policy.adapter != "embedded" or settings.shadow.directory is not None or folder is None:
            return await trial(settings)
        found = frozenset(
            (path.relative_to(folder), path.read_bytes()) for path in folder.rglob("*") if path.is_file()
        )
        if found not in known:
            known[found] = await trial(settings)
        return known[found]

    return tried
