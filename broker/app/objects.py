"""Owners of what OpenAI keeps: the file, what calls ask of it, and what keeps it true to the log.

Knows: the settings of both. Must not know: what an object is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from broker.adapters.ledger.ledger import FileLedger
from broker.adapters.objects import NAME, RetentionBounds, SqliteObjectOwners, Upkeep
from broker.config import Settings
from broker.model.units import SECONDS_PER_DAY
from broker.ports import Clock


def place(settings: Settings) -> Path:
    """The file of a configuration."""
    return settings.audit.keys / NAME


def bounds(settings: Settings) -> RetentionBounds:
    """How long, and how many."""
    return RetentionBounds(settings.objects.keep_days * SECONDS_PER_DAY, settings.objects.most)


class OwnedObjects:
    """`owners` may be opened before the log, and is of use to calls after `follow`."""

    def __init__(self, settings: Settings, clock: Clock, changed: Callable[[], None] = lambda: None) -> None:
        """`changed` is called where the file says something else about an object than before."""
        self._path = place(settings)
        self._clock = clock
        self._bounds = bounds(settings)
        self._upkeep: Upkeep | None = None
        self.owners = SqliteObjectOwners(self._path, clock, self._bounds.keep_seconds, changed)

    async def follow(self, log: FileLedger) -> None:
        """The file tells what the log does when this returns. Raises BrokerError AUDIT_UNAVAILABLE."""
        upkeep = Upkeep(self._path, log, self._clock, self._bounds, self.owners.changed)
        await upkeep.open()
        upkeep.start()
        self._upkeep = upkeep

    async def unfollow(self) -> None:
        """Before the log closes, after the last call."""
        if self._upkeep is not None:
            await self._upkeep.aclose()
