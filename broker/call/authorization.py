"""Step 5: policy is asked about a call, and asked again while its reply streams.

Knows: the question and how an answer is read. Must not know: engines, and what else happens to a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from functools import lru_cache

import orjson

from broker.call.admission import Admission
from broker.call.phases import Asked, Authorized, Decided, Inspected
from broker.catalog.estimate import NO_ESTIMATE, Estimate
from broker.model.answers import parse_call_decision
from broker.model.call import Call
from broker.model.decision import CallDecision, PolicyVersion
from broker.model.finding import Finding
from broker.model.subject import Caller
from broker.model.units import NS_PER_MINUTE, NS_PER_US
from broker.ports import Authorizer, Clock, DecisionObserver, DecisionPoint, Evaluation, Observation
from broker.shaping.denial import denial
from broker.shaping.mentions import Mentions
from broker.shaping.policy_input import call_input, time_input
from broker.shaping.recorded_input import masked, recorded_call


class CallAuthorizer:
    """`zone` is where policy reads the time of day; `observer` sees every decision after it was made."""

    def __init__(
        self, authorizer: Authorizer, clock: Clock, zone: tzinfo, observer: DecisionObserver | None = None
    ) -> None:
        self._authorizer = authorizer
        self._clock = clock
        self._zone = zone
        self._observer = observer

    async def decide(
        self, admission: Admission, inspected: Inspected, mentions: Mentions, estimate: Estimate
    ) -> Decided:
        """The decision that allows the call. Raises POLICY_DENIED or CONTENT_BLOCKED; an undecidable call is
        refused, not denied.
        """
        asked = admission.reached(self._asked(inspected, mentions, estimate))
        begun = self._clock.monotonic_ns()
        decision = await self._ask(asked.document, inspected.findings)
        policy_us = (self._clock.monotonic_ns() - begun) // NS_PER_US
        decided = admission.reached(Decided(asked, decision, policy_us))
        if self._observer is not None:
            self._observer.observe(_observed(decided))
        if not decision.allow:
            raise denial(decision, inspected.findings)
        return decided

    async def again(self, call: Authorized) -> None:
        """Asks the same question at today's hour. Raises as `decide` where the answer is no longer a yes."""
        now_ns = self._clock.now_ns()
        document = {**orjson.loads(call.question), "now_ns": now_ns, "time": time_input(now_ns, self._zone)}
        decision = await self._ask(document, call.findings)
        if not decision.allow:
            raise denial(decision, call.findings)

    async def about(self, caller: Caller, call: Call, transport: str) -> CallDecision:
        """The decision about a call that nobody makes: nothing is found in it, and it costs nothing. Raises
        as `decide`.
        """
        document = call_input(
            caller, call, (), NO_ESTIMATE, transport, now_ns=self._clock.now_ns(), zone=self._zone
        )
        decision = await self._ask(document, ())
        if not decision.allow:
            raise denial(decision, ())
        return decision

    def circumstances(self) -> tuple[PolicyVersion, int]:
        """What a decision was made under: the policies, and the minute that they can read."""
        return self._authorizer.version, self._clock.now_ns() // NS_PER_MINUTE

    def _asked(self, inspected: Inspected, mentions: Mentions, estimate: Estimate) -> Asked:
        """The question, and what of it is recorded."""
        authenticated, call, findings, head, _ = inspected
        document = call_input(
            authenticated.caller,
            call,
            findings,
            estimate,
            authenticated.transport,
            now_ns=self._clock.now_ns(),
            zone=self._zone,
            mentions=mentions,
        )
        as_bytes = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
        return Asked(
            inspected,
            mentions,
            document,
            bytes(memoryview(as_bytes)),  # without the 3 KiB that orjson reserved behind it
            recorded_call(
                document, _own(inspected, mentions), {str(each.path[0]) for each in findings}, as_bytes
            ),
            authenticated.commit(head.user, "input", as_bytes),
        )

    async def _ask(self, document: dict[str, object], findings: Sequence[Finding]) -> CallDecision:
        verdict = await self._authorizer.evaluate(DecisionPoint.CALLS, document)
        return _read(verdict, frozenset([finding.rule for finding in findings]))


@lru_cache(maxsize=1024)
def _read(verdict: Evaluation, found: frozenset[str]) -> CallDecision:
    """The decision in an answer, read once: reading is strict, and the same Verdict reads the same."""
    return parse_call_decision(verdict.result, verdict.policy, found=found)


def _own(inspected: Inspected, mentions: Mentions) -> dict[str, object]:
    """What of the question is the caller's own, as a record may hold it."""
    _, call, findings, head, purpose = inspected
    own: dict[str, object] = {
        "model": head.model_requested,
        "user": head.user if call.user else None,
        "purpose": purpose,
    }
    if mentions.reaches and findings:  # what was found may stand in a name that it reaches
        own["reaches"] = sorted({masked(reach) for reach in mentions.reaches})
    return own


def _observed(decided: Decided) -> Observation:
    asked, decision, _ = decided
    head = asked.inspected.head
    return Observation(
        call_id=head.call_id,
        user=head.user,
        subject=head.subject,
        tenant=head.tenant,
        operation=head.operation,
        model=head.model_requested,
        document=asked.document,
        enforced=decision,
    )
