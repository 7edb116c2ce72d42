"""Steps 11 and 12: the outcome and the settlement that close a call whose intent is recorded, once.

Knows: that a call which opened must close, and how far it came. Must not know: how records are stored or
limits counted.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from broker.call.charging import NOTHING, CallEnd, Cost, charge
from broker.call.lifecycle import Lifecycle
from broker.call.phases import Answered, Authorized, Sent
from broker.call.records import nearly_used, outcome
from broker.call.unsettled import Backlog, Unsettled, charged
from broker.errors import Kind
from broker.model.charge import LimitState, Reservation, Taken, Unit, settled, used
from broker.model.sends import Sends
from broker.ports import CallLedger, Clock

_ERRORS = 400


@dataclass(frozen=True, slots=True)
class AuditPorts:
    """Where calls are recorded and settled. `backlog`: what is not settled yet."""

    ledger: CallLedger
    clock: Clock
    backlog: Backlog


class AuditedCall:
    """A call with an intent: exactly one `close` takes effect; further ones do nothing. `call` is what was
    authorized, `sends` how often it went upstream.
    """

    __slots__ = ("_answered", "_lifecycle", "_ports", "_reservation", "_sent", "call", "sends")

    def __init__(
        self, ports: AuditPorts, lifecycle: Lifecycle, call: Authorized, reservation: Reservation
    ) -> None:
        self._ports = ports
        self._lifecycle = lifecycle
        self.call = call
        self._reservation = reservation
        self.sends = Sends()
        self._sent: Sent | None = None
        self._answered: Answered | None = None

    @property
    def left(self) -> tuple[LimitState, ...]:
        """What the call's worst case left of its limits."""
        return self._reservation.left

    async def warn(self) -> None:
        """What the call brought near to its cap is recorded when this returns, or whoever waits leaves."""
        if self._reservation.warned:
            await asyncio.shield(self._warn())

    async def _warn(self) -> None:
        for use in self._reservation.warned:
            await self._ports.ledger.append(nearly_used(self.call, use))

    def sent(self, sent: Sent) -> None:
        """From here on upstream may be at work on the call, until it is known that it is not."""
        self._lifecycle.take("sent")
        self._sent = sent

    def unsent(self) -> None:
        """Upstream has nothing of it after all."""
        self._lifecycle.take("unsent")

    def refused(self) -> None:
        """Upstream answered with an error: it is not at work on it."""
        self._lifecycle.take("refused")

    def answered(self, answered: Answered) -> None:
        """Upstream has answered: the outcome tells, however the call ends. Of the further pages of a listing
        it tells the time only.
        """
        self._lifecycle.take("answered")
        first = self._answered
        self._answered = first._replace(upstream_us=answered.upstream_us) if first else answered

    async def close(self, *, digest: bytes | None = None, error: Kind | None = None) -> None:
        """The outcome is durable when this returns. `digest` is the SHA-256 of the bytes that go to the
        caller, `error` why the call ended badly.
        """
        if self._lifecycle.over:
            return
        ending = self._ending(error)
        self._lifecycle.take("closed")
        cost, adjusted, taken = self._cost(ending), self._adjusted(), self._reservation.taken
        record = outcome(
            self.call,
            self._sent,
            self._answered,
            attempts=self.sends.begun,
            digest=digest,
            error=error,
            cost=cost,
            reservation=self._reservation,
            adjusted=adjusted,
            now_ns=self._ports.clock.monotonic_ns(),
        )
        self._lifecycle.check(record.type)
        self._keep(cost)
        changes = settled(taken, used(cost.tokens, cost.micro_usd)) + adjusted
        await self._ports.ledger.settle(record, changes)

    def _cost(self, ending: CallEnd) -> Cost:
        """What is charged for the call: see `charging`. Every call that has an intent is one request."""
        if ending is CallEnd.UNSENT:
            return NOTHING
        meter = self.call.meter
        return charge(meter.estimate, ending, meter.usage, meter.delivered, regional=self._regional)

    @property
    def _regional(self) -> bool:
        return self._sent is not None and self._sent.lease.region is not None

    def _keep(self, cost: Cost) -> None:
        """A response that upstream may be at work on is settled once its usage is read."""
        meter, regional = self.call.meter, self._regional
        if meter.response_id is not None and meter.estimate.terms.billed and not cost.exact:
            stays = charged(self._reservation.taken, cost)
            self._ports.backlog.keep(meter.response_id, Unsettled(meter.estimate, stays, regional))

    def _adjusted(self) -> tuple[Taken, ...]:
        """By how much it changes what a response had taken that was kept, and whose usage this call has
        read.
        """
        meter = self.call.meter
        if meter.estimate.terms.billed or meter.read.tokens_in is None:
            return ()
        waiting = self._ports.backlog.take(meter.response_id)
        if waiting is None:
            return ()
        known = charge(
            waiting.estimate, CallEnd.WHOLE, meter.read, meter.delivered, regional=waiting.regional
        )
        return settled(waiting.charged, {Unit.TOKENS: known.tokens, Unit.MICRO_USD: known.micro_usd})

    def _ending(self, error: Kind | None) -> CallEnd:
        """How far the call came."""
        answered = self._answered
        if answered is None:
            return CallEnd.LEFT if self._lifecycle.state == "sent" else CallEnd.UNSENT
        if answered.status >= _ERRORS:
            return CallEnd.REFUSED
        if answered.whole or error is None:
            return CallEnd.WHOLE
        return CallEnd.BROKEN if error is Kind.UPSTREAM_INTERRUPTED else CallEnd.LEFT
