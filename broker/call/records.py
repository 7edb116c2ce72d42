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
from broker.call.naming import NAME, call_names, caller_name, recordable, said
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
    RecordHead,
    Sent,
)
from broker.call.reply_summary import MAX_FINDINGS
from broker.catalog.prices import PRICE_VERSION
from broker.errors import BrokerError, Kind
from broker.model.call import Call
from broker.model.charge import ONE_REQUEST, LimitUse, Reservation, Taken
from broker.model.decision import CallDecision
from broker.model.finding import Finding
from broker.model.record import Record, RecordedFinding, RecordType
from broker.model.stored import Keeping
from broker.model.units import NS_PER_US
from broker.shaping.recorded_input import recorded_findings

NEARLY_USED = "nearly_used"
_MAX_PARTS = 64  # of 128 characters: half of what an entry holds


class _KnownCall(NamedTuple):
    """What is known of a call that may not have come far."""

    authenticated: Authenticated
    call: Call | None
    findings: tuple[Finding, ...]
    head: RecordHead
    asked: Asked | None = None
    decided: Decided | None = None


def inspected(authenticated: Authenticated, call: Call, findings: tuple[Finding, ...]) -> Inspected:
    """The call after the rules have looked at it: what its records may repeat of it stands from here on."""
    user, model, purpose = call_names(authenticated.caller, call, findings, authenticated.commit)
    return Inspected(authenticated, call, findings, _head(authenticated, user, model), purpose)


def denied(reached: Reached, error: BrokerError, now_ns: int) -> Record:
    """The call went nowhere: who asked for what, and why not."""
    authenticated, call, findings, head, asked, decided = _known(reached)
    decision = decided.decision if decided else None
    return Record(
        RecordType.DENIED,
        *head,
        stream=call.stream if call else None,
        decision="deny" if error.kind in (Kind.POLICY_DENIED, Kind.CONTENT_BLOCKED) else "refuse",
        reason=error.kind.value,
        rule=error.rule or (decision.rule if decision else None),
        policy_revision=decision.policy.revision if decision else None,
        policy_sha256=decision.policy.sha256 if decision else None,
        input_commitment=asked.input_commitment if asked else None,
        policy_input=asked.policy_input if asked else None,
        findings=_findings(findings, decision),
        t_policy_us=decided.policy_us if decided else None,
        t_total_us=_since_start(authenticated, now_ns),
        error=error.param,
    )


def intent(admitted: Admitted) -> Record:
    """The call is about to reach upstream."""
    asked, decision, policy_us = admitted.decided
    authenticated, call, findings, head, purpose = asked.inspected
    request = authenticated.commit(head.user, "request", sha256(call.body).digest()) if call.body else None
    return Record(
        RecordType.INTENT,
        *head,
        stream=call.stream,
        decision="allow",
        rule=decision.rule,
        policy_revision=decision.policy.revision,
        policy_sha256=decision.policy.sha256,
        input_commitment=asked.input_commitment,
        policy_input=asked.policy_input,
        findings=_findings(findings, decision),
        t_policy_us=policy_us,
        request_commitment=request,
        alert=decision.alert,
        purpose=purpose,
        object_id=_about(admitted.objects, authenticated),
        reserved=tuple([each.taken for each in admitted.charges]) or None,
        fitted=admitted.fitted,
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
    reservation: Reservation,
    adjusted: tuple[Taken, ...],
    now_ns: int,
) -> Record:
    """The call is over. Its `status` is the HTTP status that upstream gave, 0 where it gave none.
    `reservation` is what it had taken of limits, `adjusted` what it changed of another's.
    """
    limited = bool(reservation.taken)
    usage, objects, reply, commit = call.meter.usage, call.objects, call.reply, call.authenticated.commit
    served, finished, blocked = usage.model, usage.finish_reason, reply.blocked
    request_id, made = answered.request_id if answered else None, objects.made
    return Record(
        RecordType.OUTCOME,
        *call.head,
        model_served=said(served, commit, blocked=blocked) if served else None,
        stream=call.stream,
        policy_revision=call.decision.policy.revision,
        policy_sha256=call.decision.policy.sha256,
        input_commitment=call.input_commitment,
        findings=_findings(call.findings, call.decision, reply.findings),
        key_ref=sent.lease.key_ref if sent else None,
        key_version=sent.lease.key_version if sent else None,
        status=answered.status if answered else 0,
        finish_reason=said(finished, commit, blocked=blocked) if finished else None,
        tokens_in=usage.tokens_in,
        tokens_out=usage.tokens_out,
        tokens_cached=usage.tokens_cached,
        bytes=reply.size,
        t_policy_us=call.policy_us,
        t_upstream_us=answered.upstream_us if answered else None,
        t_total_us=_since_start(call.authenticated, now_ns),
        upstream_request_id=said(request_id, commit, blocked=blocked) if request_id else None,
        error=error.value if error else None,
        response_commitment=commit(call.head.user, "response", digest) if digest else None,
        attempts=attempts,
        cost_micro_usd=cost.micro_usd,
        cost_exact=cost.exact,
        price_version=PRICE_VERSION,
        object_id=_about(objects, call.authenticated),
        object_owner=objects.owner if made else None,
        objects=_parts(objects) if made else None,
        object_until=0 if made and Keeping.UNTIL_DELETED in made.values() else None,
        requests_charged=ONE_REQUEST if limited else None,
        tokens_charged=cost.tokens if limited else None,
        adjusted=adjusted or None,
        limits_passed=reservation.passed or None,
    )


def nearly_used(call: Authorized, use: LimitUse) -> Record:
    """The call brought a limit so near to its cap that people want to know."""
    return Record(
        RecordType.LIMIT,
        *call.head,
        reason=NEARLY_USED,
        policy_revision=call.decision.policy.revision,
        policy_sha256=call.decision.policy.sha256,
        taken=(use.taken,),
        cap=use.cap,
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
            user = caller_name(reached.caller, reached.commit)
            return _KnownCall(reached, None, (), _head(reached, user, None))
        case Decoded(authenticated, call):
            user, model, _ = call_names(authenticated.caller, call, None, authenticated.commit)
            return _KnownCall(authenticated, call, (), _head(authenticated, user, model))
        case Inspected():
            return _KnownCall(*reached[:4])
        case Asked():
            return _KnownCall(*reached.inspected[:4], reached)
        case Decided():
            return _KnownCall(*reached.asked.inspected[:4], reached.asked, reached)


def _head(authenticated: Authenticated, user: str, model: str | None) -> RecordHead:
    caller = authenticated.caller
    return RecordHead(
        authenticated.call_id,
        user,
        caller.subject.id,
        caller.subject.actor_chain,
        caller.subject.tenant,
        caller.peer.cert_sha256,
        caller.token_id,
        authenticated.transport,
        authenticated.operation.value,
        model,
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
