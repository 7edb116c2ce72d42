"""The records that one call makes: denied, or an intent and its outcome.

Knows: which fact belongs into which record. Must not know: where records are kept.
No record holds a prompt, a reply, a key or a token.
"""

from __future__ import annotations

from hashlib import sha256

from broker.call.charging import Cost
from broker.call.context import MAX_FINDINGS, NAME, CallContext
from broker.catalog.prices import PRICE_VERSION
from broker.errors import BrokerError, Kind
from broker.model.record import Record, RecordedFinding, RecordType
from broker.model.stored import Keeping
from broker.model.units import NS_PER_US
from broker.shaping.recorded_input import recorded_findings

_MAX_PARTS = 64  # of 128 characters: half of what an entry holds


def denied(context: CallContext, error: BrokerError, now_ns: int) -> Record:
    """The call went nowhere: who asked for what, and why not."""
    return _common(context)._replace(
        type=RecordType.DENIED,
        findings=_findings(context),
        decision="deny" if error.kind in (Kind.POLICY_DENIED, Kind.CONTENT_BLOCKED) else "refuse",
        reason=error.kind.value,
        rule=error.rule or (context.decision.rule if context.decision else None),
        error=error.param,
        policy_input=context.policy_input,
        t_total_us=_since_start(context, now_ns),
    )


def intent(context: CallContext) -> Record:
    """The call is about to reach upstream."""
    call = context.call
    return _common(context)._replace(
        type=RecordType.INTENT,
        findings=_findings(context),
        decision="allow",
        rule=context.decision.rule if context.decision else None,
        alert=context.decision.alert if context.decision else None,
        purpose=context.purpose,
        policy_input=context.policy_input,
        object_id=_object(context),
        request_commitment=context.commit(context.user, "request", sha256(call.body).digest())
        if call and call.body
        else None,
    )


def outcome(
    context: CallContext,
    *,
    status: int,
    request_id: str | None,
    digest: bytes | None,
    error: Kind | None,
    cost: Cost,
    now_ns: int,
) -> Record:
    """The call is over. `status` is the HTTP status that upstream gave, 0 where it gave none."""
    lease = context.lease
    usage = context.meter.usage
    served, finished = usage.model, usage.finish_reason
    common = _common(context)
    return common._replace(
        type=RecordType.OUTCOME,
        findings=_findings(context),
        key_ref=lease.key_ref if lease else None,
        key_version=lease.key_version if lease else None,
        model_served=context.said(served) if served else None,
        status=status,
        attempts=context.sends.begun,
        finish_reason=context.said(finished) if finished else None,
        tokens_in=usage.tokens_in,
        tokens_out=usage.tokens_out,
        tokens_cached=usage.tokens_cached,
        cost_micro_usd=cost.micro_usd,
        cost_exact=cost.exact,
        price_version=PRICE_VERSION,
        bytes=context.reply_bytes,
        t_upstream_us=context.upstream_us,
        t_total_us=_since_start(context, now_ns),
        upstream_request_id=context.said(request_id) if request_id else None,
        error=error.value if error else None,
        object_id=_object(context),
        object_owner=context.owner if context.made else None,
        objects=_parts(context) if context.made else None,
        object_until=0 if Keeping.UNTIL_DELETED in context.made.values() else None,
        response_commitment=context.commit(common.user, "response", digest) if digest else None,
    )


def _object(context: CallContext) -> str | None:
    """The stored object that the call is about, as a record may hold it."""
    return context.name(context.object_id) if context.object_id is not None else None


def _parts(context: CallContext) -> tuple[str, ...] | None:
    """What was made beside the object itself, as far as a record has room for it."""
    parts = [each for each in context.made if each != context.object_id and NAME.match(each)]
    return tuple(parts[:_MAX_PARTS]) or None


def _common(context: CallContext) -> Record:
    """What every record of this call says: final once the call is denied or its intent is written. Each
    puts in its own type.
    """
    if context.facts is None:
        context.facts = _gathered(context)
    return context.facts


def _gathered(context: CallContext) -> Record:
    caller, call, decision = context.caller, context.call, context.decision
    return Record(
        type=RecordType.INTENT,
        call_id=context.call_id,
        user=context.user,
        subject=caller.subject.id,
        actor_chain=caller.subject.actor_chain,
        tenant=caller.subject.tenant,
        cert_sha256=caller.peer.cert_sha256,
        token_id=caller.token_id,
        transport=context.transport,
        operation=context.operation.value,
        model_requested=context.model,
        stream=call.stream if call else None,
        policy_revision=decision.policy.revision if decision else None,
        policy_sha256=decision.policy.sha256 if decision else None,
        input_commitment=context.input_commitment,
        t_policy_us=context.policy_us,
    )


def _findings(context: CallContext) -> tuple[RecordedFinding, ...] | None:
    if not context.findings and not context.response_findings:
        return None
    content = context.decision.content if context.decision else None
    asked = recorded_findings(context.findings[:MAX_FINDINGS], content)
    return (*asked, *context.response_findings)[:MAX_FINDINGS]


def _since_start(context: CallContext, now_ns: int) -> int:
    return (now_ns - context.started_ns) // NS_PER_US
