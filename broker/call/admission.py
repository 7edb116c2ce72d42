"""A call before its intent: it ends with a `denied`, or its intent opens it (steps 6 and 7).

Knows: how far the call has come. Must not know: what a step does, how records are stored or limits counted.
"""

from __future__ import annotations

import asyncio
from typing import TypeVar

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
from broker.model.charge import LimitExceededError, Reservation
from broker.model.record import Record
from broker.shaping.request import model_sent

Phase = TypeVar("Phase", Decoded, Inspected, Asked, Decided)


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

    async def open(self, admitted: Admitted) -> AuditedCall:
        """The worst case is reserved and the intent durable when this returns. Raises LimitExceededError,
        recorded as a `denied`, and AUDIT_UNAVAILABLE.
        """
        self._lifecycle.take("authorized")
        record = intent(admitted)
        try:
            reservation = await self._ports.ledger.reserve(record, admitted.charges)
        except LimitExceededError as error:
            await asyncio.shield(self.deny(with_unseen(error, admitted.meter.estimate)))
            raise
        except asyncio.CancelledError:  # it is reserved and recorded all the same
            taken = tuple(charge.taken for charge in admitted.charges)
            gone = self._recorded(record, admitted, Reservation(taken))
            await asyncio.shield(gone.close(error=Kind.CALLER_GONE))
            raise
        except BrokerError:
            self._lifecycle.take("unrecorded")
            raise
        return self._recorded(record, admitted, reservation)

    def _recorded(self, record: Record, admitted: Admitted, reservation: Reservation) -> AuditedCall:
        self._lifecycle.take("recorded")
        self._lifecycle.check(record.type)
        return AuditedCall(self._ports, self._lifecycle, _authorized(admitted), reservation)


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
