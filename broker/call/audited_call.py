"""Steps 7, 11 and 12: the intent that opens a call and the outcome and settlement that close it, once.

Knows: that a call which opened must close. Must not know: how records are stored or limits counted.
"""

from __future__ import annotations

import asyncio

from broker.call.charging import NOTHING, CallEnd, Cost, charge
from broker.call.context import CallContext
from broker.call.records import intent, outcome
from broker.call.unsettled import Backlog, Unsettled, charged
from broker.errors import BrokerError, Kind
from broker.model.call import Reply, StreamReply
from broker.model.charge import Reservation, Unit
from broker.ports import Clock, Counters, Ledger

_NOTHING = {Unit.REQUESTS: 0, Unit.TOKENS: 0, Unit.MICRO_USD: 0}
_ERRORS = 400


class AuditedCall:
    """The open side of one call. After `open`, exactly one `close` takes effect; further ones do nothing."""

    def __init__(
        self,
        ledger: Ledger,
        counters: Counters,
        clock: Clock,
        context: CallContext,
        reservation: Reservation,
        backlog: Backlog,
    ) -> None:
        self._ledger = ledger
        self._counters = counters
        self._clock = clock
        self._context = context
        self._reservation = reservation
        self._backlog = backlog
        self._answer: Reply | StreamReply | None = None
        self._closed = False

    def answered(self, answer: Reply | StreamReply) -> None:
        """Upstream has answered: its status and request id belong into the outcome, however the call ends."""
        self._answer = answer

    async def open(self) -> None:
        """The intent is durable when this returns. Where it cannot be, the reservation is given back."""
        try:
            await self._ledger.append(intent(self._context))
        except BrokerError:
            self._closed = True
            await self._counters.settle(self._reservation, _NOTHING)
            raise
        except asyncio.CancelledError:  # the entry is on its way to the disk all the same
            await asyncio.shield(self.close(error=Kind.CALLER_GONE))
            raise

    async def close(self, *, digest: bytes | None = None, error: Kind | None = None) -> None:
        """The outcome is durable when this returns. `digest` is the SHA-256 of the bytes that go to the
        caller, `error` why the call ended badly.
        """
        if self._closed:
            return
        self._closed = True
        answer = self._answer
        cost = self._cost(error)
        record = outcome(
            self._context,
            status=answer.status if answer is not None else 0,
            request_id=_header(answer, "x-request-id"),
            digest=digest,
            error=error,
            cost=cost,
            now_ns=self._clock.monotonic_ns(),
        )
        try:
            await self._ledger.append(record)
        finally:
            used = {Unit.REQUESTS: 1, Unit.TOKENS: cost.tokens, Unit.MICRO_USD: cost.micro_usd}
            await self._counters.settle(self._reservation, used)
            if self._context.meter.response_id is not None:
                await self._settle_later(self._context.meter.response_id, cost)

    def _cost(self, error: Kind | None) -> Cost:
        """What is charged for the call: see `charging`. Every call that has an intent is one request."""
        meter, ending = self._context.meter, self._ending(error)
        if ending is CallEnd.UNSENT:
            return NOTHING
        return charge(meter.estimate, ending, meter.usage, meter.delivered, regional=self._regional)

    @property
    def _regional(self) -> bool:
        return self._context.lease is not None and self._context.lease.region is not None

    async def _settle_later(self, response_id: str, cost: Cost) -> None:
        """A response that upstream may be at work on is kept; one whose usage was now read is settled."""
        meter = self._context.meter
        if meter.estimate.terms.billed:
            if not cost.exact:
                charges = charged(self._reservation, cost)
                self._backlog.keep(response_id, Unsettled(meter.estimate, charges, self._regional))
        elif meter.read.tokens_in is not None and (waiting := self._backlog.take(response_id)):
            known = charge(
                waiting.estimate, CallEnd.WHOLE, meter.read, meter.delivered, regional=waiting.regional
            )
            used = {Unit.TOKENS: known.tokens, Unit.MICRO_USD: known.micro_usd}
            await self._counters.settle(waiting.charged, used)

    def _ending(self, error: Kind | None) -> CallEnd:
        answer = self._answer
        if answer is None:
            return CallEnd.LEFT if self._context.sent else CallEnd.UNSENT
        if answer.status >= _ERRORS:
            return CallEnd.REFUSED
        if isinstance(answer, Reply) or error is None:
            return CallEnd.WHOLE
        return CallEnd.BROKEN if error is Kind.UPSTREAM_INTERRUPTED else CallEnd.LEFT


def _header(answer: Reply | StreamReply | None, name: str) -> str | None:
    if answer is None:
        return None
    return next((value for key, value in answer.headers if key == name), None)
