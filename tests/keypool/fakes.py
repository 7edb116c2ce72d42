"""A credential source and a ledger in memory, a clock set by hand, and pools over them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from broker.adapters.keypool import PooledKeys
from broker.budget.limits import CapPassed, LimitWindows
from broker.budget.window import exceeded, reserved
from broker.errors import BrokerError, Kind
from broker.model.charge import Charge, Reservation, Taken
from broker.model.pool import Member, Pool
from broker.model.record import Receipt, Record
from broker.model.secret import Lease, Secret
from broker.model.units import NS_PER_SECOND
from broker.ports import AbandonedReservationError
from tests.call.fakes import HandClock


class StillClock(HandClock):
    """Time moves only when a test says so, also for those who sleep."""

    async def sleep(self, seconds: float) -> None:  # noqa: ARG002 - the signature is Clock's
        await asyncio.sleep(0)


@dataclass
class MemorySource:
    """Keys by name, each at a version; `away` are not given, for `hanging` there is no answer at all."""

    versions: dict[str, int] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    hanging: set[str] = field(default_factory=set)
    answers_after: Callable[[], None] = lambda: None

    async def lease(self, credential: str) -> Lease:
        self.asked.append(credential)
        self.answers_after()
        if credential in self.hanging:
            await asyncio.sleep(60)
        if credential in self.away or credential not in self.versions:
            raise BrokerError(
                Kind.CREDENTIAL_STORE_UNAVAILABLE, f"no {credential}", remedy="Store it.", retry_after=1
            )
        number = self.versions[credential]
        return Lease(f"memory:{credential}", number, Secret(f"sk-{credential}-{number}"))


@dataclass
class MemoryLedger:
    """Keeps records, also of a caller that leaves meanwhile, and what they took of limits; `lost` refuses
    them.
    """

    records: list[Record] = field(default_factory=list)
    lost: bool = False
    windows: LimitWindows = field(default_factory=LimitWindows)

    async def append(self, record: Record) -> Receipt:
        if self.lost:
            await asyncio.sleep(0)
            raise BrokerError(Kind.AUDIT_UNAVAILABLE, "lost")
        self.records.append(record)
        place = len(self.records)
        await asyncio.sleep(0)
        return Receipt("test", place, b"")

    async def reserve(self, intent: Record, charges: Sequence[Charge]) -> Reservation:
        taken = () if self.lost else self.windows.reserve(charges)
        if isinstance(taken, CapPassed):
            now_ns = charges[taken.place].taken.start * NS_PER_SECOND
            raise exceeded(charges, taken, now_ns)
        reservation = reserved(charges, taken, 0) if taken else Reservation()
        try:
            await self.append(intent)
        except asyncio.CancelledError:
            raise AbandonedReservationError(reservation) from None
        return reservation

    async def settle(self, outcome: Record, changes: Sequence[Taken]) -> Receipt:
        if not self.lost:
            self.windows.change(changes)
        return await self.append(outcome)


class PoolSetup:
    """One pool, `openai`, of these members, and a lone key, `lone`."""

    def __init__(self, *members: Member) -> None:
        self.clock = StillClock()
        self.source = MemorySource({member.key: 1 for member in members} | {"lone": 1})
        self.ledger = MemoryLedger()
        self.replaced: list[str] = []
        pools = [Pool("openai", members)]
        self.keys = PooledKeys(self.source, pools, self.clock, self.ledger, self.replaced.append)

    def later(self, seconds: float) -> None:
        self.clock.ns += int(seconds * 1e9)

    async def settle(self) -> None:
        """Lets the watch over quarantined keys go round."""
        for _ in range(20):
            await asyncio.sleep(0)
