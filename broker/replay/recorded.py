"""What a record says that policy was asked, and what it answered.

Knows: which records hold a decision, and how a verdict is read out of one. Must not know: where records are
kept. A record that does not tell policy's own verdict is never guessed at: it is left out, for a reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from broker.errors import Kind
from broker.model.decision import Action
from broker.model.operation import AdminAction
from broker.model.record import Record, RecordType
from broker.ports import DecisionPoint

DECIDED = (RecordType.TOKEN, RecordType.DENIED, RecordType.INTENT)
"""The types of records that can hold a decision."""
_TOKEN_ISSUE = "token.issue"  # noqa: S105 - an operation, not a password
_ADMIN_ACTIONS = frozenset(action.value for action in AdminAction)
_SAID_NO = frozenset((Kind.POLICY_DENIED.value, Kind.CONTENT_BLOCKED.value))
_BINDING = "token."  # how the rules of a token's own binding begin


class LeftOut(StrEnum):
    """Why a record is not compared."""

    NO_INPUT = "recorded without the input that policy judged"
    NOT_ASKED = "refused before policy was asked"
    BINDING = "denied by the token's own binding, not by policy"
    NO_ANSWER = "policy gave no answer when it was asked"
    CONTENT = "stopped for content, and the record does not tell by whom"


@dataclass(frozen=True, slots=True)
class RecordedInput:
    """Whom and what one decision was about. `subject`, `operation` and `model` are empty where unknown."""

    call_id: str
    point: DecisionPoint
    subject: str
    operation: str
    model: str


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict, and the rule that gave it."""

    allow: bool
    rule: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """A decision as the log keeps it. `refused` is why the broker itself then refused what policy had
    allowed (`RATE_LIMITED` …), None where it did not.
    """

    recorded_input: RecordedInput
    decision: Decision
    policy_input: str = field(repr=False)
    refused: str | None = None


def recorded_decision(record: Record) -> Recorded | LeftOut:
    """The decision in a record of one of the types `DECIDED`, or why there is none to compare with."""
    rule = record.rule or ""
    said_no = record.type is RecordType.DENIED and record.reason in _SAID_NO
    if said_no and rule.startswith(_BINDING):
        return LeftOut.BINDING
    if record.policy_input is None:
        return LeftOut.NOT_ASKED if record.type is RecordType.DENIED and not said_no else LeftOut.NO_INPUT
    return _answered(record, recorded_input_of(record), rule, record.policy_input)


def _answered(
    record: Record, recorded_input: RecordedInput, rule: str, policy_input: str
) -> Recorded | LeftOut:
    """What policy said, which a broker that refuses for its own reasons need not have followed."""
    reason = record.reason
    if record.type is not RecordType.DENIED:
        return Recorded(recorded_input, Decision(True, rule), policy_input)
    if reason == Kind.POLICY_DENIED:
        return Recorded(recorded_input, Decision(False, rule), policy_input)
    if reason == Kind.CONTENT_BLOCKED:
        return _stopped_for_content(record, recorded_input, rule, policy_input)
    # A call that was given up while policy was being asked has no version of the policies that answered.
    if reason == Kind.POLICY_ENGINE_UNAVAILABLE or record.policy_revision is None:
        return LeftOut.NO_ANSWER
    return Recorded(recorded_input, Decision(True, rule), policy_input, refused=reason)


def _stopped_for_content(
    record: Record, recorded_input: RecordedInput, rule: str, policy_input: str
) -> Recorded | LeftOut:
    """By policy, which then blocks some finding; or by the broker, which could not take out what policy had
    allowed to go on redacted. A record keeps the first findings only.
    """
    actions = {finding.rule: finding.action for finding in record.findings or ()}
    if Action.BLOCK in actions.values():
        return Recorded(recorded_input, Decision(False, rule), policy_input)
    if actions.get(rule) == Action.REDACT:
        return Recorded(
            recorded_input, Decision(True, rule), policy_input, refused=Kind.CONTENT_BLOCKED.value
        )
    return LeftOut.CONTENT


def recorded_input_of(record: Record) -> RecordedInput:
    """Whom and what the record is about; a record without an operation is a token's."""
    operation = record.operation or (_TOKEN_ISSUE if record.type is RecordType.TOKEN else "")
    return RecordedInput(
        record.call_id,
        _point(record, operation),
        record.subject or "",
        operation,
        record.model_requested or "",
    )


def _point(record: Record, operation: str) -> DecisionPoint:
    if record.type is RecordType.TOKEN or operation == _TOKEN_ISSUE:
        return DecisionPoint.TOKENS
    return DecisionPoint.ADMIN if operation in _ADMIN_ACTIONS else DecisionPoint.CALLS
