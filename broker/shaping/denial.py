"""The errors of a call that policy did not allow.

Knows: Decision and findings. Must not know: wire codes. Names rules and places, never the text.
"""

from __future__ import annotations

from collections.abc import Sequence

from broker.errors import BrokerError, Kind
from broker.model.change import Change
from broker.model.decision import CallDecision
from broker.model.finding import Finding


def denial(decision: CallDecision, findings: tuple[Finding, ...]) -> BrokerError:
    """The error of a call that policy did not allow: of its content, or of the call itself."""
    for finding in findings:
        if finding.rule in decision.content.block:
            return content_blocked(finding.rule, finding.location, "request")
    return policy_denied(f"Policy denies this call. {decision.reason}", decision.rule, decision.changes)


def policy_denied(message: str, rule: str, changes: Sequence[Change]) -> BrokerError:
    """POLICY_DENIED, with the smallest change that would be allowed wherever policy named one."""
    if not changes:
        remedy = "Ask for what your grant holds, or ask the security team to widen it."
        return BrokerError(Kind.POLICY_DENIED, message, rule=rule, remedy=remedy)
    enough = "; ".join(str(change) for change in changes)
    return BrokerError(
        Kind.POLICY_DENIED,
        message,
        rule=rule,
        remedy=f"Allowed would be: {enough}.",
        details={"counterfactual": enough},
    )


def reply_cut(decision: CallDecision, rule: str, location: str) -> BrokerError:
    """CONTENT_BLOCKED for what a reply holds. Only a stream is cut for what `decision` takes out of replies:
    parts of a match may have to leave before its end is known.
    """
    error = content_blocked(rule, location, "reply")
    if decision.redacts(rule):
        error.remedy = "Ask without `stream`: it is then taken out of the reply, and the rest passes."
    return error


def content_blocked(rule: str, location: str, where: str) -> BrokerError:
    """CONTENT_BLOCKED: names the rule and the place, never the text."""
    return BrokerError(
        Kind.CONTENT_BLOCKED,
        f"The {where} holds content that policy does not let pass ({rule}).",
        param=location,
        rule=rule,
        remedy="Remove it and send again." if where == "request" else "Ask differently.",
    )
