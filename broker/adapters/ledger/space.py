"""Watches the space that is left for a log, and refuses new calls before there is none.

Knows: one file system. Must not know: what is recorded, beyond which records begin something. At the floor a
call that is under way is still closed, and so is the log: what may follow has room.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, NoReturn

import structlog

from broker.errors import BrokerError, Kind
from broker.model.charge import Charge, Reservation, Taken
from broker.model.record import Receipt, Record, RecordType
from broker.ports import CallLedger, Clock

LOOK_SECONDS = 2.0
_BEGINS = frozenset({RecordType.INTENT, RecordType.TOKEN, RecordType.DENIED, RecordType.SHADOW})
_MIB = 1024**2


def _free(directory: Path) -> int:
    return shutil.disk_usage(directory).free


class SpaceWatch:
    """A ports.CallLedger in front of another one. Use: `start`, `await aclose()`. `free` takes the directory
    and gives bytes.
    """

    def __init__(
        self,
        ledger: CallLedger,
        directory: Path,
        clock: Clock,
        *,
        warn_bytes: int,
        floor_bytes: int,
        free: Callable[[Path], int] = _free,
    ) -> None:
        self._ledger = ledger
        self._directory = directory
        self._clock = clock
        self._warn = warn_bytes
        self._floor = floor_bytes
        self._free = free
        self._told = ""
        self.free_bytes = 0
        """As of the last look."""
        self._full = False
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Looks once, and from then on every 2 s."""
        await self._look()
        self._watching = asyncio.create_task(self._watch())

    async def aclose(self) -> None:
        """Ends it."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait({self._watching})

    def problem(self) -> str:
        """Why no call is begun, or an empty string."""
        return "space for the audit log" if self._full else ""

    def append(self, record: Record) -> Coroutine[Any, Any, Receipt]:
        """See ports.Ledger. Raises AUDIT_UNAVAILABLE for what begins something, at the floor."""
        return _refuse() if self._full and record.type in _BEGINS else self._ledger.append(record)

    def reserve(self, intent: Record, charges: Sequence[Charge]) -> Coroutine[Any, Any, Reservation]:
        """See ports.CallLedger. Raises AUDIT_UNAVAILABLE at the floor."""
        return _refuse() if self._full else self._ledger.reserve(intent, charges)

    def settle(self, outcome: Record, changes: Sequence[Taken]) -> Coroutine[Any, Any, Receipt]:
        """See ports.CallLedger."""
        return self._ledger.settle(outcome, changes)

    async def _watch(self) -> None:
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            await self._look()

    async def _look(self) -> None:
        with contextlib.suppress(OSError):  # a directory that cannot be asked about cannot be written either
            self.free_bytes = await asyncio.to_thread(self._free, self._directory)
        self._full = self.free_bytes < self._floor
        level = "floor" if self._full else "warning" if self.free_bytes < self._warn else ""
        if level != self._told:
            self._tell(level)
        self._told = level

    def _tell(self, level: str) -> None:
        log, left = structlog.get_logger(), self.free_bytes // _MIB
        remedy = "Make room on the log's disk, or move the log to a larger one."
        if level == "floor":
            log.error("log_space_exhausted", free_mib=left, remedy=remedy)
        elif level == "warning":
            log.warning("log_space_low", free_mib=left, remedy=remedy)
        else:
            log.info("log_space_restored", free_mib=left)


async def _refuse() -> NoReturn:
    raise BrokerError(
        Kind.AUDIT_UNAVAILABLE,
        "There is too little space left to record this call.",
        remedy="The operator must make room on the log's disk; calls go on by themselves then.",
        retry_after=LOOK_SECONDS,
    )
