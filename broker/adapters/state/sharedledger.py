"""`ports.CallLedger` of a machine that shares its limits with others: the store says who may take, the
machine's own log what was taken.

Knows: the order of the two, and what becomes of one where the other fails. Must not know: scripts, records.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from broker.adapters.ledger.outlasting import outlasting
from broker.adapters.ledger.termed import TermLedger
from broker.adapters.state.allowance import LocalAllowance
from broker.adapters.state.feed import RevocationFeed
from broker.adapters.state.lane import StateLane, given_back
from broker.budget.limits import CapPassed
from broker.budget.window import exceeded, reserved
from broker.errors import BrokerError, Kind
from broker.model.charge import Charge, Reservation, Taken
from broker.model.record import Receipt, Record, RecordType
from broker.model.units import NS_PER_SECOND
from broker.ports import AbandonedReservationError, Clock
from broker.tlog.revoked import refused_until


class SharedLedger:
    """Raises BrokerError STATE_UNAVAILABLE, too, from `reserve`: within `deadline` seconds where the store is
    away.
    """

    def __init__(
        self,
        log: TermLedger,
        lane: StateLane,
        feed: RevocationFeed,
        clock: Clock,
        deadline: float,
        allowance: LocalAllowance,
    ) -> None:
        self._machine_log = log
        self._lane = lane
        self._feed = feed
        self._clock = clock
        self._deadline = deadline
        self._allowance = allowance

    async def append(self, record: Record) -> Receipt:
        """See ports.Ledger. A revocation is told to the other machines."""
        receipt = await self._machine_log.append(record)
        if record.type is RecordType.REVOKED and record.token_id is not None:
            self._feed.tell([(record.token_id, refused_until(self._clock.now_ns() // NS_PER_SECOND))])
        return receipt

    async def reserve(self, intent: Record, charges: Sequence[Charge]) -> Reservation:
        """See ports.CallLedger."""
        if not charges:
            return await self._machine_log.reserve(intent, ())
        reserving = asyncio.ensure_future(self._reserve_or_allow(intent, charges))
        reservation, left = await outlasting(reserving)
        if left:
            raise AbandonedReservationError(reservation)
        return reservation

    async def settle(self, outcome: Record, changes: Sequence[Taken]) -> Receipt:
        """See ports.CallLedger. Who settles does not wait for the store."""
        receipt, term = await self._machine_log.record_settled(outcome, changes)
        self._lane.change(term, changes)
        return receipt

    async def _reserve_or_allow(self, intent: Record, charges: Sequence[Charge]) -> Reservation:
        """While the store is away, and as long as it is known what is revoked: from the share of this
        process, where it has one.
        """
        try:
            return await self._reserve(intent, charges)
        except BrokerError as error:
            if error.kind is not Kind.STATE_UNAVAILABLE or self._feed.unheard():
                raise
            taken = self._allowance.take(charges)
            if taken is None or not await self._machine_log.record_reserved(
                intent._replace(allowance=True), charges, self._lane.last_term
            ):
                raise
            self._lane.took_alone()
            return reserved(charges, taken, self._clock.now_ns())

    async def _reserve(self, intent: Record, charges: Sequence[Charge]) -> Reservation:
        """First the store, so that what is refused leaves no intent; then the log. Where the machine's term
        has ended between the two, nothing counts that was taken: once more.
        """
        deadline = asyncio.get_running_loop().time() + self._deadline
        while True:
            took = await self._lane.take(charges, deadline)
            if isinstance(took, CapPassed):
                raise exceeded(charges, took, self._clock.now_ns())
            recorded = False
            try:
                recorded = await self._machine_log.record_reserved(intent, charges, took.term)
            finally:
                if not recorded:
                    self._lane.change(took.term, given_back(charges))
            if recorded:
                self._allowance.saw(charges, took.taken)
                return reserved(charges, took.taken, self._clock.now_ns())
            self._lane.term_ended(took.term)
