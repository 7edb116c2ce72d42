"""A call at each of its phases, made by hand as the steps make it, and the audited call that comes of it."""

from __future__ import annotations

from broker.call.admission import Admission
from broker.call.audited_call import AuditedCall, AuditPorts
from broker.call.call_objects import CallObjects
from broker.call.metering import Meter
from broker.call.phases import Admitted, Asked, Authenticated, Decided, Decoded
from broker.call.records import inspected
from broker.call.unsettled import Backlog
from broker.model.call import Call, UpstreamRequest
from broker.model.charge import Charge, Taken, Unit
from broker.model.decision import CallDecision, Content, PolicyVersion
from broker.model.operation import Operation
from broker.model.subject import Caller, Peer, Subject
from broker.ports import CallLedger
from broker.shaping.mentions import NOTHING
from tests.call.fakes import HandClock
from tests.keypool.fakes import MemoryLedger

SUBJECT = "spiffe://dev.broker/ns/demo/sa/a"
CALLER = Caller(Subject(SUBJECT, "demo"), Peer(SUBJECT, "00" * 32, 0, 2**40), "tok", ("chat",), 2**40)
CALL = Call(Operation.CHAT, "POST", "/v1/chat/completions", b"{}", {}, "gpt-4o")
REQUEST = UpstreamRequest("POST", "/v1/chat/completions", b"{}", (), stream=False)
CHARGE = Charge(Taken("requests", Unit.REQUESTS, 86_400, 0, 1), 10**6)

AUTHENTICATED = Authenticated("call_1", "https", Operation.CHAT, CALLER, 0, lambda *_: "commitment")
DECODED = Decoded(AUTHENTICATED, CALL)
INSPECTED = inspected(AUTHENTICATED, CALL, ())
ASKED = Asked(INSPECTED, NOTHING, {}, b"{}", "{}", "commitment")
ALLOWING = CallDecision(True, "r", "", PolicyVersion("1", "0" * 64), Content(), credential="openai")
DECIDED = Decided(ASKED, ALLOWING, 5)


def admitted(charge: Charge = CHARGE) -> Admitted:
    """The call, all of whose steps said yes."""
    return Admitted(DECIDED, CallObjects(CALL, ALLOWING, NOTHING, SUBJECT), Meter(), REQUEST, [charge])


async def opened(ledger: CallLedger | None = None) -> AuditedCall:
    """The call, whose intent is recorded."""
    ports = AuditPorts(ledger or MemoryLedger(), HandClock(), Backlog())
    return (await Admission(ports, AUTHENTICATED).open(admitted())).audited
