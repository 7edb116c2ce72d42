"""A candidate's answer, read as strictly as the live path reads one.

Knows: input documents and results. Must not know: engines, records.
"""

from __future__ import annotations

from collections.abc import Mapping

from broker.model.answers import parse_admin_decision, parse_call_decision, parse_token_decision
from broker.ports import DecisionPoint, Evaluation
from broker.replay.recorded import Decision


def read_decision(point: DecisionPoint, verdict: Evaluation, document: Mapping[str, object]) -> Decision:
    """What the answer to `document` rules. Raises BrokerError POLICY_ENGINE_UNAVAILABLE where it is not
    exactly a decision: such a policy would refuse the call.
    """
    match point:
        case DecisionPoint.CALLS:
            call = parse_call_decision(verdict.result, verdict.policy, found=found_rules(document))
            return Decision(call.allow, call.rule)
        case DecisionPoint.TOKENS:
            token = parse_token_decision(verdict.result, verdict.policy)
            return Decision(token.allow, token.rule)
        case DecisionPoint.ADMIN:
            admin = parse_admin_decision(verdict.result, verdict.policy)
            return Decision(admin.allow, admin.rule)


def found_rules(document: Mapping[str, object]) -> tuple[str, ...]:
    """The rules that found something in the call that `document` describes.

    >>> found_rules({"findings": [{"rule": "pii.iban", "severity": "low"}]}), found_rules({})
    (('pii.iban',), ())
    """
    findings = document.get("findings")
    if not isinstance(findings, list):
        return ()
    return tuple(
        str(finding["rule"]) for finding in findings if isinstance(finding, dict) and "rule" in finding
    )
