"""One call on its way: the facts gathered so far, and the records they make.

Knows: which fact belongs into which record. Must not know: where records are kept, how a call is sent.
It holds references to call and lease but its records never hold a prompt, a reply, a key or a token.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

import orjson

from broker.arrival import Arrival
from broker.catalog.prices import PRICE_VERSION
from broker.charging import Cost
from broker.errors import BrokerError, Kind
from broker.metering import Meter
from broker.model.call import Call
from broker.model.decision import Action, CallDecision
from broker.model.finding import Finding
from broker.model.record import Record, RecordedFinding, RecordType
from broker.model.secret import Lease
from broker.model.sends import Sends
from broker.model.stored import Keeping
from broker.model.subject import Caller
from broker.shaping.mentions import NOTHING, Mentions
from broker.shaping.recorded_input import masked, recorded_call, recorded_findings
from broker.shaping.request import PURPOSE, model_sent

Commit = Callable[[str | None, str, bytes], str]
_NAME = re.compile(r"[A-Za-z0-9._:/@+-]{1,128}\Z")
_MAX_USER = 256
_MAX_FINDINGS = 32
_MAX_PARTS = 64  # of 128 characters: half of what an entry holds


class Passage:
    """The mutable facts of one call. `commit(user, purpose, bytes)` is tlog.commitment's."""

    def __init__(self, arrival: Arrival, caller: Caller, commit: Commit, started_ns: int) -> None:
        self.call_id = arrival.call_id
        self.transport = arrival.transport
        self.operation = arrival.operation
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
        self._commit = commit
        self._facts: Record | None = None

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
        if len(self.response_findings) < _MAX_FINDINGS:
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
        return self._commit(None, "user", user.encode())

    @property
    def purpose(self) -> str | None:
        """Why the caller broke the glass, as a record may hold it."""
        purpose = self.call.purpose if self.call is not None else None
        if purpose is None or not self._found_in(PURPOSE):
            return purpose
        return self._commit(None, "purpose", purpose.encode())

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
        self.input_commitment = self._commit(self.user, "input", as_bytes)

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

    def denied(self, error: BrokerError, now_ns: int) -> Record:
        """The call went nowhere: who asked for what, and why not."""
        return self._common()._replace(
            type=RecordType.DENIED,
            findings=self._findings(),
            decision="deny" if error.kind in (Kind.POLICY_DENIED, Kind.CONTENT_BLOCKED) else "refuse",
            reason=error.kind.value,
            rule=error.rule or (self.decision.rule if self.decision else None),
            error=error.param,
            policy_input=self.policy_input,
            t_total_us=self._since_start(now_ns),
        )

    def intent(self) -> Record:
        """The call is about to reach upstream."""
        call = self.call
        return self._common()._replace(
            type=RecordType.INTENT,
            findings=self._findings(),
            decision="allow",
            rule=self.decision.rule if self.decision else None,
            alert=self.decision.alert if self.decision else None,
            purpose=self.purpose,
            policy_input=self.policy_input,
            object_id=self._object,
            request_commitment=self._commit(self.user, "request", sha256(call.body).digest())
            if call and call.body
            else None,
        )

    def outcome(
        self,
        *,
        status: int,
        request_id: str | None,
        digest: bytes | None,
        error: Kind | None,
        cost: Cost,
        now_ns: int,
    ) -> Record:
        """The call is over. `status` is the HTTP status that upstream gave, 0 where it gave none."""
        lease = self.lease
        usage = self.meter.usage
        served, finished = usage.model, usage.finish_reason
        common = self._common()
        return common._replace(
            type=RecordType.OUTCOME,
            findings=self._findings(),
            key_ref=lease.key_ref if lease else None,
            key_version=lease.key_version if lease else None,
            model_served=self._said(served) if served else None,
            status=status,
            attempts=self.sends.begun,
            finish_reason=self._said(finished) if finished else None,
            tokens_in=usage.tokens_in,
            tokens_out=usage.tokens_out,
            tokens_cached=usage.tokens_cached,
            cost_micro_usd=cost.micro_usd,
            cost_exact=cost.exact,
            price_version=PRICE_VERSION,
            bytes=self.reply_bytes,
            t_upstream_us=self.upstream_us,
            t_total_us=self._since_start(now_ns),
            upstream_request_id=self._said(request_id) if request_id else None,
            error=error.value if error else None,
            object_id=self._object,
            object_owner=self.owner if self.made else None,
            objects=self._parts if self.made else None,
            object_until=0 if Keeping.UNTIL_DELETED in self.made.values() else None,
            response_commitment=self._commit(common.user, "response", digest) if digest else None,
        )

    @property
    def _object(self) -> str | None:
        """The stored object that the call is about, as a record may hold it."""
        return self._name(self.object_id) if self.object_id is not None else None

    @property
    def _parts(self) -> tuple[str, ...] | None:
        """What was made beside the object itself, as far as a record has room for it."""
        parts = [each for each in self.made if each != self.object_id and _NAME.match(each)]
        return tuple(parts[:_MAX_PARTS]) or None

    def _common(self) -> Record:
        """What every record of this call says: final once the call is denied or its intent is written. Each
        puts in its own type.
        """
        if self._facts is None:
            self._facts = self._gathered()
        return self._facts

    def _gathered(self) -> Record:
        caller, call, decision = self.caller, self.call, self.decision
        return Record(
            type=RecordType.INTENT,
            call_id=self.call_id,
            user=self.user,
            subject=caller.subject.id,
            actor_chain=caller.subject.actor_chain,
            tenant=caller.subject.tenant,
            cert_sha256=caller.peer.cert_sha256,
            token_id=caller.token_id,
            transport=self.transport,
            operation=self.operation.value,
            model_requested=self.model,
            stream=call.stream if call else None,
            policy_revision=decision.policy.revision if decision else None,
            policy_sha256=decision.policy.sha256 if decision else None,
            input_commitment=self.input_commitment,
            t_policy_us=self.policy_us,
        )

    def _findings(self) -> tuple[RecordedFinding, ...] | None:
        if not self.findings and not self.response_findings:
            return None
        content = self.decision.content if self.decision else None
        asked = recorded_findings(self.findings[:_MAX_FINDINGS], content)
        return (*asked, *self.response_findings)[:_MAX_FINDINGS]

    def _model(self, name: str) -> str:
        return self._commit(None, "name", name.encode()) if self._found_in("model") else self._name(name)

    def _found_in(self, *fields: str) -> bool:
        """Whether a rule saw something in one of these fields, or none has looked yet: records hold the
        commitment of such a field, not itself.
        """
        return self._seen is None or any(f.path[0] in fields for f in self.findings)

    def _said(self, name: str) -> str:
        """A name as upstream says it, or its commitment where the reply is not to be repeated."""
        return self._commit(None, "name", name.encode()) if self.blocked else self._name(name)

    def _name(self, text: str) -> str:
        """A name as it is, or its commitment where it could be a text in disguise."""
        return text if _NAME.match(text) else self._commit(None, "name", text.encode())

    def _since_start(self, now_ns: int) -> int:
        return (now_ns - self.started_ns) // 1000
