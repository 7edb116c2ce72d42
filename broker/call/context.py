"""One call on its way: the facts gathered so far, and how a record may repeat them.

Knows: what may be told as it stands, and what as a commitment. Must not know: records, how a call is sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import orjson

from broker.call.inbound import InboundCall
from broker.call.metering import Meter
from broker.model.call import Call
from broker.model.decision import Action, CallDecision
from broker.model.finding import Finding
from broker.model.record import Record, RecordedFinding
from broker.model.secret import Lease
from broker.model.sends import Sends
from broker.model.stored import Keeping
from broker.model.subject import Caller
from broker.shaping.mentions import NOTHING, Mentions
from broker.shaping.recorded_input import masked, recorded_call
from broker.shaping.request import PURPOSE, model_sent

Commit = Callable[[str | None, str, bytes], str]
NAME = re.compile(r"[A-Za-z0-9._:/@+-]{1,128}\Z")
_MAX_USER = 256
MAX_FINDINGS = 32


class CallContext:
    """The mutable facts of one call. `commit(user, purpose, bytes)` is tlog.commitment's."""

    def __init__(self, inbound: InboundCall, caller: Caller, commit: Commit, started_ns: int) -> None:
        self.call_id, _, self.transport = inbound.context
        self.operation = inbound.operation
        self.caller = caller
        self.started_ns = started_ns
        self.call: Call | None = None
        self._seen: tuple[Finding, ...] | None = None
        self.decision: CallDecision | None = None
        self.input_commitment: str | None = None
        self.policy_input: str | None = None
        self._question = b"{}"
        self.lease: Lease | None = None
        self.policy_us: int | None = None
        self.upstream_us: int | None = None
        self.sends = Sends()
        self.sent = False
        self.meter = Meter()
        self.reply_bytes = 0
        self.response_findings: tuple[RecordedFinding, ...] = ()
        self.blocked = False
        """Whether the reply held what may not be passed on: its records then repeat no name of upstream's."""

        self.mentions: Mentions = NOTHING
        self.kept = False
        self.may_make = False
        self.made: dict[str, Keeping] = {}
        """What the reply says was made so far, in its order."""

        self.object_id: str | None = None
        self.commit = commit
        self.facts: Record | None = None
        """What every record of the call says, once the first was made."""

    @property
    def accepted(self) -> Call:
        """The call; only after it was decoded."""
        assert self.call is not None, "the call is not decoded yet"  # noqa: S101 - an order of steps, not input
        return self.call

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What the rules found in the call; nothing before they looked."""
        return self._seen or ()

    def inspected(self, findings: tuple[Finding, ...]) -> None:
        """The rules have looked at every text of the call."""
        self._seen = findings

    def found_in_reply(self, rule: str, location: str, action: Action) -> None:
        """A rule saw something in the reply: where, and what was done about it."""
        if len(self.response_findings) < MAX_FINDINGS:
            told = RecordedFinding(rule, location[:_MAX_USER], action.value)
            self.response_findings = (*self.response_findings, told)

    @property
    def decided(self) -> CallDecision:
        """The decision; only after policy made it."""
        assert self.decision is not None, "the call is not decided yet"  # noqa: S101 - an order of steps
        return self.decision

    @property
    def held(self) -> Lease:
        """The key the call was last sent with; only after one was leased."""
        assert self.lease is not None, "no key is leased yet"  # noqa: S101 - an order of steps
        return self.lease

    @property
    def owner(self) -> str:
        """Who owns what this call makes, and whose objects it may name: whom policy says, or the subject."""
        return self.decided.owner or self.caller.subject.id

    @property
    def model_sent(self) -> str | None:
        """The model that upstream is asked for: the one policy pinned, or the caller's."""
        return model_sent(self.accepted, self.decided.shape)

    @property
    def user(self) -> str:
        """The user identifier of the call: named by the body, bound by the token, or the subject itself."""
        named = self.call.user if self.call is not None else None
        user = named or self.caller.user or self.caller.subject.id
        if len(user) <= _MAX_USER and not (named and self._found_in("user", "safety_identifier")):
            return user
        return self.commit(None, "user", user.encode())

    @property
    def purpose(self) -> str | None:
        """Why the caller broke the glass, as a record may hold it."""
        purpose = self.call.purpose if self.call is not None else None
        if purpose is None or not self._found_in(PURPOSE):
            return purpose
        return self.commit(None, "purpose", purpose.encode())

    @property
    def model(self) -> str | None:
        """The model the caller asked for, as a record may hold it."""
        return self._model(self.call.model) if self.call is not None and self.call.model else None

    def judged(self, document: dict[str, object], as_bytes: bytes) -> None:
        """Policy is asked about `document`: what of it is recorded."""
        named = self.call.user if self.call is not None else None
        own: dict[str, object] = {
            "model": self.model,
            "user": self.user if named else None,
            "purpose": self.purpose,
        }
        if self.mentions.reaches and self.findings:  # what was found may stand in a name that it reaches
            own["reaches"] = sorted({masked(reach) for reach in self.mentions.reaches})
        self._question = bytes(memoryview(as_bytes))  # without the 3 KiB that orjson reserved behind it
        self.policy_input = recorded_call(document, own, {str(f.path[0]) for f in self.findings})
        self.input_commitment = self.commit(self.user, "input", as_bytes)

    @property
    def question(self) -> dict[str, object]:
        """The document that policy was asked about, to ask again; it holds no text of the call."""
        question: dict[str, object] = orjson.loads(self._question)
        return question

    def forget_body(self) -> None:
        """The request has been sent: a stream may last long, and need not hold its prompt that long, nor what
        its intent has told.
        """
        self.call = replace(self.accepted, body=b"", document=None)
        self.policy_input = None

    def _model(self, name: str) -> str:
        return self.commit(None, "name", name.encode()) if self._found_in("model") else self.name(name)

    def _found_in(self, *fields: str) -> bool:
        """Whether a rule saw something in one of these fields, or none has looked yet: records hold the
        commitment of such a field, not itself.
        """
        return self._seen is None or any(f.path[0] in fields for f in self.findings)

    def said(self, name: str) -> str:
        """A name as upstream says it, or its commitment where the reply is not to be repeated."""
        return self.commit(None, "name", name.encode()) if self.blocked else self.name(name)

    def name(self, text: str) -> str:
        """A name as it is, or its commitment where it could be a text in disguise."""
        return text if NAME.match(text) else self.commit(None, "name", text.encode())
