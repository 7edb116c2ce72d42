"""Explain: what the live policies would say of any input, for as much of it as the asker may see.

Knows: who may see what. Must not know: wire formats, engines.
"""

from __future__ import annotations

from collections.abc import Callable

from broker import strictjson
from broker.errors import BrokerError, Kind
from broker.identity.scope import MAX_STARS, has_many_stars
from broker.model.answers import parse_admin_decision, parse_call_decision, parse_token_decision
from broker.model.explanation import Explanation, parse_explanation
from broker.model.operation import AdminAction
from broker.model.request_context import RequestContext
from broker.ports import Authorizer, DecisionPoint, Evaluation, Explainer
from broker.services.administrator import Administrator

_MAX_INPUT_BYTES = 64 * 1024


class PolicyExplainer:
    """Answers PolicyService. Nothing it does has an effect on a call."""

    def __init__(
        self,
        authorizer: Authorizer,
        explainer: Explainer,
        administrator: Administrator,
        problem: Callable[[], str],
    ) -> None:
        self._authorizer = authorizer
        self._explainer = explainer
        self._administrator = administrator
        self._problem = problem

    async def explain(self, context: RequestContext, point: str, input_json: str) -> Explanation:
        """The decision about a hypothetical input. Who asks about itself, without the right policy.explain,
        sees what its own denial would say; who asks about another needs the right.

        Raises BAD_REQUEST, POLICY_DENIED (recorded) or POLICY_ENGINE_UNAVAILABLE.
        """
        asked, document = _point(point), _document(input_json)
        _refuse_slow_patterns(document)
        allowed = await self._administrator.may(context, AdminAction.POLICY_EXPLAIN)
        if not allowed and _subject(document) != context.peer.spiffe_id:
            await self._administrator.allow(context, AdminAction.POLICY_EXPLAIN)
        seen = decided(asked, await self._authorizer.evaluate(asked, document))
        if not allowed:
            return seen
        said = await self._explainer.explain(asked, document)
        conditions, role, team = parse_explanation(asked.value, said.result)
        return Explanation(
            seen.allow, seen.rule, seen.reason, seen.changes, seen.policy, conditions, role, team
        )

    async def policy(self, context: RequestContext) -> tuple[str, str, str]:
        """Revision and SHA-256 of the policies that decide now, and what is wrong with newer ones."""
        await self._administrator.allow(context, AdminAction.POLICY_READ)
        version = self._authorizer.version
        return version.revision, version.sha256, self._problem()


def decided(point: DecisionPoint, verdict: Evaluation) -> Explanation:
    """The decision in an engine's answer. Raises POLICY_ENGINE_UNAVAILABLE for what is none."""
    result, policy = verdict.result, verdict.policy
    if point is DecisionPoint.ADMIN:
        admin = parse_admin_decision(result, policy)
        return Explanation(admin.allow, admin.rule, admin.reason, (), policy)
    parse = parse_call_decision if point is DecisionPoint.CALLS else parse_token_decision
    decision = parse(result, policy)
    return Explanation(decision.allow, decision.rule, decision.reason, decision.changes, policy)


def _point(name: str) -> DecisionPoint:
    try:
        return DecisionPoint(name or DecisionPoint.CALLS)
    except ValueError:
        raise _bad("point", "It is none of tokens, calls, admin.") from None


def _document(text: str) -> dict[str, object]:
    if len(text) > _MAX_INPUT_BYTES:
        raise _bad("input_json", f"It is longer than {_MAX_INPUT_BYTES} characters.")
    try:
        document = strictjson.parse(text.encode())
    except strictjson.StrictJsonError:
        document = None
    if not isinstance(document, dict):
        raise _bad("input_json", "It is no JSON object.")
    return document


def _refuse_slow_patterns(document: dict[str, object]) -> None:
    """What a token's scope may not hold is not asked about either: policies match it as a pattern."""
    request = document.get("request")
    scope = request.get("scope") if isinstance(request, dict) else None
    for entry in scope if isinstance(scope, list) else ():
        model = entry.get("model") if isinstance(entry, dict) else None
        if isinstance(model, str) and has_many_stars(model):
            raise _bad("input_json", f"A model pattern in it has more than {MAX_STARS} stars.")


def _subject(document: dict[str, object]) -> object:
    subject = document.get("subject")
    return subject.get("id") if isinstance(subject, dict) else None


def _bad(param: str, what: str) -> BrokerError:
    remedy = "See policies/schema for the input of each point."
    return BrokerError(Kind.BAD_REQUEST, what, param=param, remedy=remedy)
