"""Why policy decided as it did: every condition, passed or not.

Knows: the shape that `policies/schema/*.explanation.json` describes. Must not know: who may see it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from broker.model.change import Change
from broker.model.decision import PolicyVersion
from broker.model.policy_answer import PolicyAnswer


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a decision: whether it holds, what the input gave and what would hold (as JSON)."""

    rule: str
    holds: bool
    condition: str
    given: object
    wanted: object


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision with its reasons. `conditions`, `role` and `team` are for the security team alone."""

    allow: bool
    rule: str
    reason: str
    changes: tuple[Change, ...]
    policy: PolicyVersion
    conditions: tuple[Condition, ...] = field(default=())
    role: str | None = None
    team: str | None = None


def parse_explanation(point: str, result: object) -> tuple[tuple[Condition, ...], str | None, str | None]:
    """The conditions, role and team of `data.broker.<point>.explanation`; nothing where it is undefined.

    Raises BrokerError POLICY_ENGINE_UNAVAILABLE, naming the field, for what is no explanation.
    """
    if result is None:
        return (), None, None
    answer = PolicyAnswer(f"broker.{point}.explanation", result)
    role = None if answer.null("role") else answer.text("role")
    team = None if answer.null("team") else answer.text("team")
    conditions = tuple(_condition(entry) for entry in answer.take("conditions", list))
    answer.end()
    return conditions, role, team


def _condition(entry: object) -> Condition:
    answer = PolicyAnswer("broker.*.explanation.conditions[…]", entry)
    condition = Condition(
        answer.text("rule"),
        answer.take("holds", bool),
        answer.text("condition"),
        answer.anything("given"),
        answer.anything("wanted"),
    )
    answer.end()
    return condition
