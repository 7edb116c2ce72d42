"""The phases of one call: what is known of it after each step, made once by that step and handed to the next.

Knows: which facts come with which step. Must not know: how they are found, records, what may follow on what
(`lifecycle`). The numbers are the steps of ARCHITECTURE.md. A step that takes a phase cannot run before it.
Tuples, because one of each is made for each call, and a frozen dataclass takes three times as long.
"""

from __future__ import annotations

from typing import NamedTuple

from broker.call.call_objects import CallObjects
from broker.call.metering import Meter
from broker.call.naming import Commit, Names
from broker.call.reply_summary import ReplySummary
from broker.model.call import Call, UpstreamRequest
from broker.model.charge import Reservation
from broker.model.decision import CallDecision
from broker.model.finding import Finding
from broker.model.operation import Operation
from broker.model.record import Record
from broker.model.secret import Lease
from broker.model.subject import Caller
from broker.shaping.mentions import Mentions


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


class Inspected(NamedTuple):
    """3: the rules have looked at every text of the call."""

    authenticated: Authenticated
    call: Call
    findings: tuple[Finding, ...]
    names: Names


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
    """6: nothing has said no, and the worst case is reserved."""

    decided: Decided
    objects: CallObjects
    meter: Meter
    request: UpstreamRequest
    reservation: Reservation


class Authorized(NamedTuple):
    """7: the intent is written, and the call may go upstream. It holds nothing of the call's body nor of what
    its intent has told: a stream may last long. `facts` is what every record of the call says; `meter`,
    `objects` and `reply` go on counting, each by itself.
    """

    authenticated: Authenticated
    decision: CallDecision
    findings: tuple[Finding, ...]
    question: bytes
    model: str | None
    model_sent: str | None
    facts: Record
    meter: Meter
    objects: CallObjects
    reply: ReplySummary

    @property
    def caller(self) -> Caller:
        """Who calls."""
        return self.authenticated.caller

    @property
    def operation(self) -> Operation:
        """What is called."""
        return self.authenticated.operation


class Sent(NamedTuple):
    """9: upstream may have the request, with this key."""

    lease: Lease


class Answered(NamedTuple):
    """9: upstream has answered. `whole`: with a reply, not with a stream that is still arriving."""

    status: int
    request_id: str | None
    whole: bool
    upstream_us: int
