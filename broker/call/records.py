"""The records that one call makes: denied, or an intent and its outcome.

Knows: which fact belongs into which record. Must not know: where records are kept.
No record holds a prompt, a reply, a key or a token.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from broker.call.call_objects import CallObjects
from broker.call.charging import Cost
from broker.call.naming import NAME, Names, call_names, caller_names, recordable, said
from broker.call.phases import (
    Admitted,
    Answered,
    Asked,
    Authenticated,
    Authorized,
    Decided,
    Decoded,
    Inspected,
    Reached,
    Sent,
)
from broker.call.reply_summary import MAX_FINDINGS
from broker.catalog.prices import PRICE_VERSION
from broker.errors import BrokerError, Kind
from broker.model.call import Call
from broker.model.decision import CallDecision
from broker.model.finding import Finding
from broker.model.record import Record, RecordedFinding, RecordType
from broker.model.stored import Keeping
from broker.model.units import NS_PER_US
from broker.shaping.recorded_input import recorded_findings

_MAX_PARTS = 64  # of 128 characters: half of what an entry holds


class _KnownCall(NamedTuple):
    """What is known of a call that may not have come far."""

    authenticated: Authenticated
    call: Call | None
    findings: tuple[Finding, ...]
    names: Names
    asked: Asked | None = None
    decided: Decided | None = None


def denied(reached: Reached, error: BrokerError, now_ns: int) -> Record:
    """The call went nowhere: who asked for what, and why not."""
    known = _known(reached)
    decision = known.decided.decision if known.decided else None
    return _facts(known)._replace(
        type=RecordType.DENIED,
        findings=_findings(known.findings, decision),
        decision="deny" if error.kind in (Kind.POLICY_DENIED, Kind.CONTENT_BLOCKED) else "refuse",
        reason=error.kind.value,
        rule=error.rule or (decision.rule if decision else None),
        error=error.param,
        policy_input=known.asked.policy_input if known.asked else None,
        t_total_us=_since_start(known.authenticated, now_ns),
    )


def facts(decided: Decided) -> Record:
    """What every record of a call says once policy has answered; each puts in its own type."""
    return _facts(_KnownCall(*decided.asked.inspected, decided.asked, decided))


def intent(admitted: Admitted, common: Record) -> Record:
    """The call is about to reach upstream. `common` is what `facts` says of it."""
    asked, decision, _ = admitted.decided
    (authenticated, call, findings, names), commit = asked.inspected, asked.inspected.authenticated.commit
    return common._replace(
        findings=_findings(findings, decision),
        decision="allow",
        rule=decision.rule,
        alert=decision.alert,
        purpose=names.purpose,
        policy_input=asked.policy_input,
        object_id=_about(admitted.objects, authenticated),
        request_commitment=commit(names.user, "request", sha256(call.body).digest()) if call.body else None,
    )


def outcome(
    call: Authorized,
    sent: Sent | None,
    answered: Answered | None,
    *,
    attempts: int,
    digest: bytes | None,
    error: Kind | None,
    cost: Cost,
    now_ns: int,
) -> Record:
    """The call is over. Its `status` is the HTTP status that upstream gave, 0 where it gave none."""
    usage, objects, reply, commit = call.meter.usage, call.objects, call.reply, call.authenticated.commit
    served, finished, blocked = usage.model, usage.finish_reason, reply.blocked
    request_id = answered.request_id if answered else None
    return call.facts._replace(
        type=RecordType.OUTCOME,
        findings=_findings(call.findings, call.decision, reply.findings),
        key_ref=sent.lease.key_ref if sent else None,
        key_version=sent.lease.key_version if sent else None,
        model_served=said(served, commit, blocked=blocked) if served else None,
        status=answered.status if answered else 0,
        attempts=attempts,
        finish_reason=said(finished, commit, blocked=blocked) if finished else None,
        tokens_in=usage.tokens_in,
        tokens_out=usage.tokens_out,
        tokens_cached=usage.tokens_cached,
        cost_micro_usd=cost.micro_usd,
        cost_exact=cost.exact,
        price_version=PRICE_VERSION,
        bytes=reply.size,
        t_upstream_us=answered.upstream_us if answered else None,
        t_total_us=_since_start(call.authenticated, now_ns),
        upstream_request_id=said(request_id, commit, blocked=blocked) if request_id else None,
        error=error.value if error else None,
        object_id=_about(objects, call.authenticated),
        object_owner=objects.owner if objects.made else None,
        objects=_parts(objects) if objects.made else None,
        object_until=0 if Keeping.UNTIL_DELETED in objects.made.values() else None,
        response_commitment=commit(call.facts.user, "response", digest) if digest else None,
    )


def _about(objects: CallObjects, authenticated: Authenticated) -> str | None:
    """The stored object that the call is about, as a record may hold it."""
    return recordable(objects.about, authenticated.commit) if objects.about is not None else None


def _parts(objects: CallObjects) -> tuple[str, ...] | None:
    """What was made beside the object itself, as far as a record has room for it."""
    parts = [each for each in objects.made if each != objects.about and NAME.match(each)]
    return tuple(parts[:_MAX_PARTS]) or None


def _known(reached: Reached) -> _KnownCall:
    match reached:
        case Authenticated():
            return _KnownCall(reached, None, (), caller_names(reached.caller, reached.commit))
        case Decoded(authenticated, call):
            return _KnownCall(
                authenticated, call, (), call_names(authenticated.caller, call, None, authenticated.commit)
            )
        case Inspected():
            return _KnownCall(*reached)
        case Asked():
            return _KnownCall(*reached.inspected, reached)
        case Decided():
            return _KnownCall(*reached.asked.inspected, reached.asked, reached)


def _facts(known: _KnownCall) -> Record:
    authenticated, call, _, names, asked, decided = known
    caller = authenticated.caller
    return Record(
        type=RecordType.INTENT,
        call_id=authenticated.call_id,
        user=names.user,
        subject=caller.subject.id,
        actor_chain=caller.subject.actor_chain,
        tenant=caller.subject.tenant,
        cert_sha256=caller.peer.cert_sha256,
        token_id=caller.token_id,
        transport=authenticated.transport,
        operation=authenticated.operation.value,
        model_requested=names.model,
        stream=call.stream if call else None,
        policy_revision=decided.decision.policy.revision if decided else None,
        policy_sha256=decided.decision.policy.sha256 if decided else None,
        input_commitment=asked.input_commitment if asked else None,
        t_policy_us=decided.policy_us if decided else None,
    )


def _findings(
    found: Sequence[Finding], decision: CallDecision | None, in_reply: tuple[RecordedFinding, ...] = ()
) -> tuple[RecordedFinding, ...] | None:
    if not found and not in_reply:
        return None
    content = decision.content if decision else None
    return (*recorded_findings(found[:MAX_FINDINGS], content), *in_reply)[:MAX_FINDINGS]


def _since_start(authenticated: Authenticated, now_ns: int) -> int:
    return (now_ns - authenticated.started_ns) // NS_PER_US
