"""The phases of one call: what is known of it after each step, made once by that step and handed to the next.

Knows: which facts come with which step. Must not know: how they are found, records, what may follow on what
(`lifecycle`). The numbers are the steps of ARCHITECTURE.md. A step that takes a phase cannot run before it.
Tuples, because one of each is made for each call, and a frozen dataclass takes three times as long.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from broker.call.call_objects import CallObjects
from broker.call.metering import Meter
from broker.call.naming import Commit
from broker.call.reply_summary import ReplySummary
from broker.model.call import Call, UpstreamRequest
from broker.model.charge import Charge
from broker.model.decision import CallDecision
from broker.model.finding import Finding, Path
from broker.model.operation import Operation
from broker.model.secret import Lease
from broker.model.subject import Caller
from broker.shaping.mentions import Mentions

_NOTHING: Mapping[str, object] = {}


class Authenticated(NamedTuple):
    """2: who calls, and with which operation. `commit` makes the commitments that its records hold."""

    call_id: str
    transport: str
    operation: Operation
    caller: Caller
    started_ns: int
    commit: Commit


class Decoded(NamedTuple):
    """1: the call is well-formed. No rule has looked at its texts."""

    authenticated: Authenticated
    call: Call


class RecordHead(NamedTuple):
    """What each record of a call says first, after its type: the same fields, in the same order, as `Record`
    has them. `user` and `model_requested` are names as a record may hold them.
    """

    call_id: str
    user: str
    subject: str
    actor_chain: tuple[str, ...]
    tenant: str
    cert_sha256: str
    token_id: str
    transport: str
    operation: str
    model_requested: str | None


class Inspected(NamedTuple):
    """3: the rules have looked at every text of the call. `purpose` is as a record may hold it."""

    authenticated: Authenticated
    call: Call
    findings: tuple[Finding, ...]
    head: RecordHead
    purpose: str | None


class Asked(NamedTuple):
    """5: policy is asked about `document`. `question` is the same as bytes, `policy_input` what of it is
    recorded.
    """

    inspected: Inspected
    mentions: Mentions
    document: dict[str, object]
    question: bytes
    policy_input: str | None
    input_commitment: str


class Decided(NamedTuple):
    """5: policy has answered."""

    asked: Asked
    decision: CallDecision
    policy_us: int


Undecided = Authenticated | Decoded | Inspected | Asked
Reached = Undecided | Decided
"""How far a call can have come that is denied or refused."""


class Admitted(NamedTuple):
    """Nothing has said no: the worst case is to be reserved, and the intent recorded. `bound` are the body
    fields that its token forces, `left_out` the places of what does not go on. `fitted`: so long may its
    answers be at most, because limits have no more left.
    """

    decided: Decided
    objects: CallObjects
    meter: Meter
    request: UpstreamRequest
    charges: Sequence[Charge]
    bound: Mapping[str, object] = _NOTHING
    left_out: Sequence[Path] = ()
    fitted: int | None = None


class Authorized(NamedTuple):
    """7: the intent is written, and the call may go upstream. It holds nothing of the call's body nor of what
    its intent alone has told: a stream may last long. `meter`, `objects` and `reply` go on counting, each by
    itself.
    """

    authenticated: Authenticated
    operation: Operation
    caller: Caller
    decision: CallDecision
    findings: tuple[Finding, ...]
    question: bytes
    model: str | None
    model_sent: str | None
    head: RecordHead
    stream: bool
    input_commitment: str
    policy_us: int
    meter: Meter
    objects: CallObjects
    reply: ReplySummary


class Sent(NamedTuple):
    """9: upstream may have the request, with this key."""

    lease: Lease


class Answered(NamedTuple):
    """9: upstream has answered. `whole`: with a reply, not with a stream that is still arriving."""

    status: int
    request_id: str | None
    whole: bool
    upstream_us: int
