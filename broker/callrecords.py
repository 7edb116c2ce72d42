"""The records that one call makes: denied, or an intent and its outcome.

Knows: which fact belongs into which record. Must not know: where records are kept.
No record holds a prompt, a reply, a key or a token.
"""

from __future__ import annotations

from hashlib import sha256

from broker.catalog.prices import PRICE_VERSION
from broker.charging import Cost
from broker.errors import BrokerError, Kind
from broker.model.record import Record, RecordedFinding, RecordType
from broker.model.stored import Keeping
from broker.model.units import NS_PER_US
from broker.passage import MAX_FINDINGS, NAME, Passage
from broker.shaping.recorded_input import recorded_findings

_MAX_PARTS = 64  # of 128 characters: half of what an entry holds


def denied(passage: Passage, error: BrokerError, now_ns: int) -> Record:
    """The call went nowhere: who asked for what, and why not."""
    return _common(passage)._replace(
        type=RecordType.DENIED,
        findings=_findings(passage),
        decision="deny" if error.kind in (Kind.POLICY_DENIED, Kind.CONTENT_BLOCKED) else "refuse",
        reason=error.kind.value,
        rule=error.rule or (passage.decision.rule if passage.decision else None),
        error=error.param,
        policy_input=passage.policy_input,
        t_total_us=_since_start(passage, now_ns),
    )


def intent(passage: Passage) -> Record:
    """The call is about to reach upstream."""
    call = passage.call
    return _common(passage)._replace(
        type=RecordType.INTENT,
        findings=_findings(passage),
        decision="allow",
        rule=passage.decision.rule if passage.decision else None,
        alert=passage.decision.alert if passage.decision else None,
        purpose=passage.purpose,
        policy_input=passage.policy_input,
        object_id=_object(passage),
        request_commitment=passage.commit(passage.user, "request", sha256(call.body).digest())
        if call and call.body
        else None,
    )


def outcome(
    passage: Passage,
    *,
    status: int,
    request_id: str | None,
    digest: bytes | None,
    error: Kind | None,
    cost: Cost,
    now_ns: int,
) -> Record:
    """The call is over. `status` is the HTTP status that upstream gave, 0 where it gave none."""
    lease = passage.lease
    usage = passage.meter.usage
    served, finished = usage.model, usage.finish_reason
    common = _common(passage)
    return common._replace(
        type=RecordType.OUTCOME,
        findings=_findings(passage),
        key_ref=lease.key_ref if lease else None,
        key_version=lease.key_version if lease else None,
        model_served=passage.said(served) if served else None,
        status=status,
        attempts=passage.sends.begun,
        finish_reason=passage.said(finished) if finished else None,
        tokens_in=usage.tokens_in,
        tokens_out=usage.tokens_out,
        tokens_cached=usage.tokens_cached,
        cost_micro_usd=cost.micro_usd,
        cost_exact=cost.exact,
        price_version=PRICE_VERSION,
        bytes=passage.reply_bytes,
        t_upstream_us=passage.upstream_us,
        t_total_us=_since_start(passage, now_ns),
        upstream_request_id=passage.said(request_id) if request_id else None,
        error=error.value if error else None,
        object_id=_object(passage),
        object_owner=passage.owner if passage.made else None,
        objects=_parts(passage) if passage.made else None,
        object_until=0 if Keeping.UNTIL_DELETED in passage.made.values() else None,
        response_commitment=passage.commit(common.user, "response", digest) if digest else None,
    )


def _object(passage: Passage) -> str | None:
    """The stored object that the call is about, as a record may hold it."""
    return passage.name(passage.object_id) if passage.object_id is not None else None


def _parts(passage: Passage) -> tuple[str, ...] | None:
    """What was made beside the object itself, as far as a record has room for it."""
    parts = [each for each in passage.made if each != passage.object_id and NAME.match(each)]
    return tuple(parts[:_MAX_PARTS]) or None


def _common(passage: Passage) -> Record:
    """What every record of this call says: final once the call is denied or its intent is written. Each
    puts in its own type.
    """
    if passage.facts is None:
        passage.facts = _gathered(passage)
    return passage.facts


def _gathered(passage: Passage) -> Record:
    caller, call, decision = passage.caller, passage.call, passage.decision
    return Record(
        type=RecordType.INTENT,
        call_id=passage.call_id,
        user=passage.user,
        subject=caller.subject.id,
        actor_chain=caller.subject.actor_chain,
        tenant=caller.subject.tenant,
        cert_sha256=caller.peer.cert_sha256,
        token_id=caller.token_id,
        transport=passage.transport,
        operation=passage.operation.value,
        model_requested=passage.model,
        stream=call.stream if call else None,
        policy_revision=decision.policy.revision if decision else None,
        policy_sha256=decision.policy.sha256 if decision else None,
        input_commitment=passage.input_commitment,
        t_policy_us=passage.policy_us,
    )


def _findings(passage: Passage) -> tuple[RecordedFinding, ...] | None:
    if not passage.findings and not passage.response_findings:
        return None
    content = passage.decision.content if passage.decision else None
    asked = recorded_findings(passage.findings[:MAX_FINDINGS], content)
    return (*asked, *passage.response_findings)[:MAX_FINDINGS]


def _since_start(passage: Passage, now_ns: int) -> int:
    return (now_ns - passage.started_ns) // NS_PER_US
