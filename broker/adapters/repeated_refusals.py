"""A CallLedger that counts repeated refusals instead of writing each: what a caller can do for nothing must
not fill the disk.

Knows: which records repeat another. Must not know: who refused, or where records are kept.

The first refusals of a subject for one reason have records of their own, durable before the caller is
told. From then on they are counted, until none came for a whole interval; at its end one record tells how
many there were and between which moments, with what all of them had in common. A crash loses the count of one
interval.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from broker.errors import BrokerError
from broker.model.charge import Charge, Reservation, Taken
from broker.model.record import Receipt, Record, RecordType
from broker.model.units import NS_PER_US
from broker.ports import CallLedger, Clock

INTERVAL_SECONDS = 10.0
RUNS = 10_000

Reason = tuple[str | None, str | None, str | None, str | None]


@dataclass(slots=True)
class _Run:
    """Refusals of one subject for one reason that follow each other."""

    call_id: str
    recorded: int = 0
    receipt: Receipt | None = None
    touched: bool = True
    common: Record | None = None
    count: int = 0
    first_us: int = 0
    last_us: int = 0

    def add(self, record: Record, now_us: int) -> None:
        """Counts one more."""
        self.common = record if self.common is None else _common(self.common, record)
        self.first_us = self.first_us if self.count else now_us
        self.last_us = now_us
        self.count += 1

    def taken(self) -> Record | None:
        """The record of what was counted, which begins anew; None where nothing was."""
        common, self.common = self.common, None
        if common is None:
            return None
        told = common._replace(
            call_id=self.call_id, count=self.count, first_us=self.first_us, last_us=self.last_us
        )
        self.count = 0
        return told


class CountedRefusals:
    """A ports.CallLedger. Use: `start`, append, `await aclose()` before the other one closes."""

    def __init__(self, ledger: CallLedger, clock: Clock, *, recorded: int) -> None:
        """So many refusals of a subject for one reason have records of their own: at least one."""
        self._recorded = recorded
        self._ledger = ledger
        self._clock = clock
        self._runs: dict[Reason, _Run] = {}
        self._flushing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to write what was counted."""
        self._flushing = asyncio.create_task(self._flush_often())

    def append(self, record: Record) -> Coroutine[Any, Any, Receipt]:
        """See ports.Ledger. The receipt of what is only counted is that of a record it repeats."""
        return self._denied(record) if record.type is RecordType.DENIED else self._ledger.append(record)

    def reserve(self, intent: Record, charges: Sequence[Charge]) -> Coroutine[Any, Any, Reservation]:
        """See ports.CallLedger."""
        return self._ledger.reserve(intent, charges)

    def settle(self, outcome: Record, changes: Sequence[Taken]) -> Coroutine[Any, Any, Receipt]:
        """See ports.CallLedger."""
        return self._ledger.settle(outcome, changes)

    async def _denied(self, record: Record) -> Receipt:
        run = self._run(record, record.call_id)
        run.touched = True
        if run.receipt is not None and run.recorded >= self._recorded:
            run.add(record, self._clock.now_ns() // NS_PER_US)
            return run.receipt
        run.recorded += 1
        receipt = run.receipt = await self._ledger.append(record)
        return receipt

    def count(self, record: Record, call_id: str) -> None:
        """Counts a refusal that has no record of its own, not even the first one: who refuses has no time for
        that. Beyond what is held of subjects and reasons it leaves none.
        """
        run = self._run(record, call_id)
        run.touched = True
        run.add(record, self._clock.now_ns() // NS_PER_US)

    async def aclose(self) -> None:
        """Writes what was counted, and ends."""
        if self._flushing is not None:
            self._flushing.cancel()
            await asyncio.wait({self._flushing})
        with contextlib.suppress(BrokerError):  # a log that is lost takes no count either
            await self._flush()

    def _run(self, record: Record, call_id: str) -> _Run:
        reason = (record.subject, record.reason, record.rule, record.operation)
        run = self._runs.get(reason)
        if run is None:
            run = _Run(call_id)
            if len(self._runs) < RUNS:  # beyond, each is recorded
                self._runs[reason] = run
        return run

    async def _flush_often(self) -> None:
        while True:
            await self._clock.sleep(INTERVAL_SECONDS)
            with contextlib.suppress(BrokerError):
                await self._flush()

    async def _flush(self) -> None:
        for reason, run in list(self._runs.items()):
            if not run.touched:
                del self._runs[reason]
            run.touched = False
        told = [record for run in self._runs.values() if (record := run.taken()) is not None]
        await asyncio.gather(*map(self._ledger.append, told))


def _common(one: Record, other: Record) -> Record:
    """What both say."""
    if one is other:
        return one
    return Record(*(a if a == b else None for a, b in zip(one, other, strict=True)))  # type: ignore[arg-type]
