"""Step 5: policy is asked about a call, and asked again while its reply streams.

Knows: the question and how an answer is read. Must not know: engines, and what else happens to a call.
"""

from __future__ import annotations

from datetime import tzinfo
from functools import lru_cache

import orjson

from broker.call.context import CallContext
from broker.catalog.estimate import Estimate
from broker.model.answers import parse_call_decision
from broker.model.call import Call
from broker.model.decision import CallDecision, PolicyVersion
from broker.model.units import NS_PER_MINUTE, NS_PER_US
from broker.ports import Authorizer, Clock, DecisionObserver, DecisionPoint, Evaluation, Observation
from broker.shaping.denial import denial
from broker.shaping.policy_input import call_input, time_input


class CallAuthorizer:
    """`zone` is where policy reads the time of day; `observer` sees every decision after it was made."""

    def __init__(
        self, authorizer: Authorizer, clock: Clock, zone: tzinfo, observer: DecisionObserver | None = None
    ) -> None:
        self._authorizer = authorizer
        self._clock = clock
        self._zone = zone
        self._observer = observer

    async def decide(self, context: CallContext, call: Call, estimate: Estimate) -> CallDecision:
        """The decision that allows the call. Raises POLICY_DENIED or CONTENT_BLOCKED; an undecidable call is
        refused, not denied.
        """
        now_ns = self._clock.now_ns()
        document = call_input(
            context.caller,
            call,
            context.findings,
            estimate,
            context.transport,
            now_ns=now_ns,
            zone=self._zone,
            mentions=context.mentions,
        )
        context.judged(document, orjson.dumps(document, option=orjson.OPT_SORT_KEYS))
        begun = self._clock.monotonic_ns()
        decision = context.decision = await self._ask(context, document)
        context.policy_us = (self._clock.monotonic_ns() - begun) // NS_PER_US
        if self._observer is not None:
            self._observer.observe(_observed(context, document, decision))
        if not decision.allow:
            raise denial(decision, context.findings)
        return decision

    async def again(self, context: CallContext) -> None:
        """Asks the same question at today's hour. Raises as `decide` where the answer is no longer a yes."""
        now_ns = self._clock.now_ns()
        document = {**context.question, "now_ns": now_ns, "time": time_input(now_ns, self._zone)}
        decision = await self._ask(context, document)
        if not decision.allow:
            raise denial(decision, context.findings)

    def circumstances(self) -> tuple[PolicyVersion, int]:
        """What a decision was made under: the policies, and the minute that they can read."""
        return self._authorizer.version, self._clock.now_ns() // NS_PER_MINUTE

    async def _ask(self, context: CallContext, document: dict[str, object]) -> CallDecision:
        verdict = await self._authorizer.evaluate(DecisionPoint.CALLS, document)
        return _read(verdict, frozenset([finding.rule for finding in context.findings]))


@lru_cache(maxsize=1024)
def _read(verdict: Evaluation, found: frozenset[str]) -> CallDecision:
    """The decision in an answer, read once: reading is strict, and the same Verdict reads the same."""
    return parse_call_decision(verdict.result, verdict.policy, found=found)


def _observed(context: CallContext, document: dict[str, object], decision: CallDecision) -> Observation:
    subject = context.caller.subject
    return Observation(
        call_id=context.call_id,
        user=context.user,
        subject=subject.id,
        tenant=subject.tenant,
        operation=context.operation.value,
        model=context.model,
        document=document,
        enforced=decision,
    )
