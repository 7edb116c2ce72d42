"""One subject of each role asks what callers usually ask, and the answers are read as live ones are.

Knows: usual questions. Must not know: engines, why somebody wants to know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from broker.ports import Authorizer, DecisionPoint
from broker.replay.decision import read_decision

_ROLES = 64


async def read_usual_answers(authorizer: Authorizer, base: Mapping[str, object]) -> None:
    """Raises POLICY_ENGINE_UNAVAILABLE for an answer that is no decision; `base` says who is granted."""
    for subject in _one_of_each_role(base):
        for point, document in _questions(subject):
            read_decision(point, await authorizer.evaluate(point, document), document)


def _one_of_each_role(base: Mapping[str, object]) -> list[str]:
    grants = base.get("grants")
    if not isinstance(grants, dict):
        return []
    holders = {
        str(grant.get("role")): subject for subject, grant in grants.items() if isinstance(grant, dict)
    }
    return [*holders.values()][:_ROLES]


def _questions(subject: str) -> Iterator[tuple[DecisionPoint, dict[str, object]]]:
    common: dict[str, object] = {
        "v": 1,
        "subject": {"id": subject, "tenant": "preflight", "actor_chain": []},
        "transport": "grpc",
        "time": {"utc": "2026-01-05T12:00Z", "weekday": 1, "clock": "12:00"},
        "now_ns": 1_767_614_400_000_000_000,
    }
    unasked = dict.fromkeys(("ttl_seconds", "user", "max_tokens", "audience", "purpose"))
    yield DecisionPoint.TOKENS, {**common, "request": {"scope": [], **unasked}}
    yield DecisionPoint.ADMIN, {**common, "action": "policy.explain"}
    for operation, model in (("chat", "gpt-4o"), ("embeddings", "text-embedding-3-small"), ("models", None)):
        yield DecisionPoint.CALLS, {**common, **_call(operation, model)}


def _call(operation: str, model: str | None) -> dict[str, object]:
    return {
        "token": {"id": "tok_preflight", "scope": [operation], "user": None, "max_tokens": None},
        "call": {
            "operation": operation,
            "model": model,
            "stream": False,
            "user": None,
            "parameters": {"temperature": 1},
            "fields": ["messages", "model", "temperature"],
            "bytes": 100,
            "store": None,
            "purpose": None,
            "reaches": [],
            "references": [],
        },
        "findings": [],
        "estimate": {"tokens_in": 10, "tokens_out_max": 100, "cost_micro_usd": 5, "known_model": True},
    }
