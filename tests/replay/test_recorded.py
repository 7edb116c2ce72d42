"""Which records hold policy's verdict, and which are left out, and why."""

from __future__ import annotations

import pytest

from broker.errors import Kind
from broker.model.record import Record, RecordType
from broker.ports import DecisionPoint
from broker.replay.recorded import LeftOut, Recorded, recorded_decision
from tests.replay.support import allowed, denied, no_right, no_token, token


@pytest.mark.parametrize(
    ("record", "point", "allow", "refused"),
    [
        (allowed("c"), DecisionPoint.CALLS, True, None),
        (denied("c"), DecisionPoint.CALLS, False, None),
        (
            denied("c", reason=Kind.CONTENT_BLOCKED, rule="secret.x", found={"secret.x": "block"}),
            DecisionPoint.CALLS,
            False,
            None,
        ),
        (
            denied("c", reason=Kind.CONTENT_BLOCKED, rule="pii.x", found={"pii.x": "redact"}),
            DecisionPoint.CALLS,
            True,
            "CONTENT_BLOCKED",
        ),
        (denied("c", reason=Kind.RATE_LIMITED), DecisionPoint.CALLS, True, "RATE_LIMITED"),
        (denied("c", reason=Kind.BUDGET_EXCEEDED), DecisionPoint.CALLS, True, "BUDGET_EXCEEDED"),
        (token("c"), DecisionPoint.TOKENS, True, None),
        (no_token("c"), DecisionPoint.TOKENS, False, None),
        (no_right("c"), DecisionPoint.ADMIN, False, None),
    ],
)
def test_the_verdict_is_policys_own(
    record: Record, point: DecisionPoint, allow: bool, refused: str | None
) -> None:
    found = recorded_decision(record)
    assert isinstance(found, Recorded)
    assert (found.recorded_input.point, found.decision.allow, found.refused) == (point, allow, refused)
    assert found.decision.rule == record.rule


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (allowed("c")._replace(policy_input=None), LeftOut.NO_INPUT),
        (denied("c")._replace(policy_input=None), LeftOut.NO_INPUT),
        (denied("c", reason=Kind.BAD_REQUEST)._replace(policy_input=None), LeftOut.NOT_ASKED),
        (denied("c", rule="token.scope"), LeftOut.BINDING),
        (denied("c", rule="token.scope")._replace(policy_input=None), LeftOut.BINDING),
        (denied("c", reason=Kind.POLICY_ENGINE_UNAVAILABLE), LeftOut.NO_ANSWER),
        (
            denied("c", reason=Kind.CONTENT_BLOCKED, rule="pii.x", found={"pii.y": "redact"}),
            LeftOut.CONTENT,
        ),
        (denied("c", reason=Kind.CALLER_GONE, revision=None), LeftOut.NO_ANSWER),
    ],
)
def test_a_record_without_policys_verdict_is_left_out(record: Record, why: LeftOut) -> None:
    assert recorded_decision(record) is why


def test_a_token_without_an_operation_is_named_as_one() -> None:
    found = recorded_decision(Record(RecordType.TOKEN, "c", policy_input="{}"))
    assert isinstance(found, Recorded)
    assert (found.recorded_input.operation, found.recorded_input.subject, found.recorded_input.model) == (
        "token.issue",
        "",
        "",
    )
