"""What a call that policy allows may cost at most, what is sent of it, and what it is charged for that.

Knows: estimates, limits, the bound of an answer. Must not know: what is left of a limit, records, listeners.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

from broker.call.call_objects import CallObjects
from broker.call.limits import CallLimits
from broker.call.metering import Meter
from broker.call.ownership import Ownership
from broker.call.phases import Admitted, Decided
from broker.call.stages import Stages
from broker.catalog.cost import MAX_AMOUNT
from broker.catalog.estimate import Estimate
from broker.catalog.reserve import Reserve, fitted, reserve
from broker.model.charge import LimitExceededError, Unit
from broker.model.decision import CallDecision
from broker.model.finding import Path
from broker.model.operation import TRAITS, Operation, bounds_sent
from broker.model.units import NS_PER_DAY
from broker.ports import Clock
from broker.shaping.request import shaped

_EPOCH = date(1970, 1, 1).toordinal()


class CallPricing:
    """One for all calls."""

    def __init__(self, stages: Stages, ownership: Ownership, limits: CallLimits, clock: Clock) -> None:
        self._stages = stages
        self._ownership = ownership
        self._limits = limits
        self._clock = clock

    @property
    def today(self) -> date:
        """Of UTC: prices and models change by it."""
        return date.fromordinal(_EPOCH + self._clock.now_ns() // NS_PER_DAY)

    async def priced(
        self,
        decided: Decided,
        estimate: Estimate,
        objects: CallObjects,
        bound: Mapping[str, object],
        left_out: Sequence[Path],
    ) -> Admitted:
        """The call as it is to be sent and charged. `estimate` is what it was before policy shaped it,
        `bound` are the body fields that its token forces, `left_out` the places of what may not go on.
        """
        inspected, decision = decided.asked.inspected, decided.decision
        call, mentions, regional = inspected.call, decided.asked.mentions, _regional(decision)
        if decision.shape.reprices or regional:
            altered, caller = shaped(call, decision.shape), inspected.authenticated.caller
            estimate = await self._stages.estimate(altered, caller, self.today, regional=regional)
        if mentions.references:
            estimate = await self._ownership.going_on(mentions, estimate)
        request = await self._stages.request(decided, bound, left_out)
        worst = reserve(estimate, decision.unseen_tokens, regional=regional)
        charges = self._limits.charges(decision, worst, self._clock.now_ns(), stream=call.stream)
        meter = Meter(estimate, usage_added=request.usage_added)
        return Admitted(decided, objects, meter, request, charges, bound, left_out)

    async def fitted(self, admitted: Admitted, error: LimitExceededError) -> Admitted | None:
        """The same call with answers as long as what is left of the limit allows; None where policy does not
        want that, too little is left, or upstream can be told no bound.
        """
        decided, estimate = admitted.decided, admitted.meter.estimate
        decision, call = decided.decision, decided.asked.inspected.call
        longest = (
            fitted(estimate, decision.unseen_tokens, _left(error), regional=_regional(decision))
            if error.fit and call.document is not None
            else None
        )
        if longest is None or call.document is None:
            return None
        bounds = _bounds(call.operation, {**call.document, **decision.shape.set, **admitted.bound}, longest)
        if not bounds:
            return None
        shape = replace(decision.shape, set={**decision.shape.set, **bounds})
        decided = decided._replace(decision=replace(decision, shape=shape))
        smaller = await self.priced(decided, estimate, admitted.objects, admitted.bound, admitted.left_out)
        return smaller._replace(fitted=longest)


def _regional(decision: CallDecision) -> bool:
    return decision.placement.region is not None


def _left(error: LimitExceededError) -> Reserve:
    """Of the limit that would be passed; of the others nobody knows yet."""
    left = error.left
    return Reserve(
        left.remaining if left.unit is Unit.TOKENS else MAX_AMOUNT,
        left.remaining if left.unit is Unit.MICRO_USD else MAX_AMOUNT,
    )


def _bounds(operation: Operation, named: Mapping[str, object], longest: int) -> dict[str, object]:
    """What bounds an answer to that: each field that the call names, lowered, else the one to set first."""
    lowered: dict[str, object] = {
        each: min(longest, own) if isinstance(own := named[each], int) else longest
        for each in TRAITS[operation].bounds
        if each in named
    }
    return lowered or dict.fromkeys(bounds_sent(operation)[:1], longest)
