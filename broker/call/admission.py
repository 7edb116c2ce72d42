"""A call before its intent: it ends with a `denied`, or its intent opens it (steps 6 and 7).

Knows: how far the call has come. Must not know: what a step does, how records are stored or limits counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from broker.call.audited_call import AuditedCall, AuditPorts
from broker.call.lifecycle import Lifecycle
from broker.call.phases import (
    Admitted,
    Asked,
    Authenticated,
    Authorized,
    Decided,
    Decoded,
    Inspected,
    Reached,
)
from broker.call.records import denied, intent
from broker.call.reply_summary import ReplySummary
from broker.catalog.reserve import with_unseen
from broker.errors import BrokerError, Kind
from broker.model.call import UpstreamRequest
from broker.model.charge import LimitExceededError, Reservation
from broker.model.record import Record
from broker.ports import AbandonedReservationError
from broker.shaping.request import model_sent

Phase = TypeVar("Phase", Decoded, Inspected, Asked, Decided)


Fitted = Callable[[Admitted, LimitExceededError], Awaitable[Admitted | None]]
"""Makes a call that would pass a limit a smaller one, or None."""
_FITTINGS = 4
"""So often a call is made smaller: others take of the same limits meanwhile."""


class Opened(NamedTuple):
    """A call whose intent is recorded, and what is to be sent of it."""

    audited: AuditedCall
    request: UpstreamRequest


async def nothing_fits(_admitted: Admitted, _error: LimitExceededError) -> None:
    """A call is as large as it is."""


class Admission:
    """Of one call. Exactly one of `deny` and `open` takes effect."""

    __slots__ = ("_lifecycle", "_ports", "_reached")

    def __init__(self, ports: AuditPorts, authenticated: Authenticated) -> None:
        self._ports = ports
        self._lifecycle = Lifecycle()
        self._reached: Reached = authenticated

    def reached(self, phase: Phase) -> Phase:
        """The call has come this far: a `denied` will tell."""
        self._reached = phase
        return phase

    async def deny(self, error: BrokerError) -> None:
        """The call goes nowhere, which is recorded when this returns."""
        self._lifecycle.take("denied")
        record = denied(self._reached, error, self._ports.clock.monotonic_ns())
        self._lifecycle.check(record.type)
        await self._ports.ledger.append(record)

    async def open(self, admitted: Admitted, fitted: Fitted = nothing_fits) -> Opened:
        """The worst case is reserved and the intent durable when this returns. Raises LimitExceededError and
        STATE_UNAVAILABLE, recorded as a `denied`, and AUDIT_UNAVAILABLE. Where limits leave too little,
        `fitted` may make the call a smaller one.
        """
        self._lifecycle.take("authorized")
        fittings = 0
        while True:
            try:
                return Opened(await self._reserved(admitted), admitted.request)
            except LimitExceededError as error:
                fittings += 1
                smaller = await self._fitted(fitted(admitted, error)) if fittings <= _FITTINGS else None
                if smaller is None:
                    await asyncio.shield(self.deny(with_unseen(error, admitted.meter.estimate)))
                    raise
                admitted = smaller

    async def _fitted(self, fitting: Awaitable[Admitted | None]) -> Admitted | None:
        try:
            return await fitting
        except BaseException as error:
            await asyncio.shield(self.deny(refusal_of(error)))
            raise

    async def _reserved(self, admitted: Admitted) -> AuditedCall:
        record = intent(admitted)
        try:
            reservation = await self._ports.ledger.reserve(record, admitted.charges)
        except LimitExceededError:
            raise  # nothing is reserved or recorded
        except AbandonedReservationError as left:
            gone = self._recorded(record, admitted, left.reservation)
            await asyncio.shield(_left(gone))
            raise asyncio.CancelledError from left  # timeouts look for no other class
        except BrokerError as error:
            if error.kind is Kind.STATE_UNAVAILABLE:  # nor here; the log is well
                await asyncio.shield(self.deny(error))
            else:
                self._lifecycle.take("unrecorded")
            raise
        return self._recorded(record, admitted, reservation)

    def _recorded(self, record: Record, admitted: Admitted, reservation: Reservation) -> AuditedCall:
        self._lifecycle.take("recorded")
        self._lifecycle.check(record.type)
        return AuditedCall(self._ports, self._lifecycle, _authorized(admitted), reservation)


async def _left(call: AuditedCall) -> None:
    """A call whose caller left before anything was sent: who leaves keeps nobody from being warned."""
    try:
        await call.warn()
    finally:
        await call.close(error=Kind.CALLER_GONE)


def refusal_of(error: BaseException) -> BrokerError:
    """What a record says of an error: a refusal as it is, a caller that left, or a defect of ours."""
    if isinstance(error, BrokerError):
        return error
    gone = isinstance(error, asyncio.CancelledError)  # the caller left, or its deadline passed
    return BrokerError(Kind.CALLER_GONE if gone else Kind.INTERNAL, "The call was not carried through.")


def _authorized(admitted: Admitted) -> Authorized:
    asked, decision, policy_us = admitted.decided
    authenticated, call, findings, head, _ = asked.inspected
    return Authorized(
        authenticated,
        authenticated.operation,
        authenticated.caller,
        decision,
        findings,
        asked.question,
        call.model,
        model_sent(call, decision.shape),
        head,
        call.stream,
        asked.input_commitment,
        policy_us,
        admitted.meter,
        admitted.objects,
        ReplySummary(),
    )
