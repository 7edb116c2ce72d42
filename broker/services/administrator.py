"""Everything that is not a call and still needs a decision: introspect, revoke, read the log.

Knows: which action each needs (`data.broker.admin.decision`). Must not know: wire formats, file layouts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import tzinfo
from typing import Protocol

from broker.errors import BrokerError, Kind
from broker.identity.certificate import check_time, subject_of
from broker.identity.revocation import RevocationSet
from broker.identity.token import Claims, TokenVerifier
from broker.model.answers import parse_admin_decision
from broker.model.decision import AdminDecision
from broker.model.operation import AdminAction
from broker.model.record import Record, RecordType
from broker.model.request_context import RequestContext
from broker.model.token import TokenState
from broker.model.units import NS_PER_SECOND
from broker.ports import Authorizer, Clock, DecisionPoint, Ledger
from broker.shaping.policy_input import subject_input, time_input
from broker.shaping.recorded_input import recorded
from broker.tlog.search import Search


class RecordReader(Protocol):
    """What administration reads of the log: durable entries with their seq, oldest first, and the newest
    checkpoint.
    """

    def tail(self, after_seq: int, search: Search) -> AsyncIterator[tuple[int, bytes]]: ...

    async def of_call(self, call_id: str) -> list[tuple[int, bytes]]: ...

    async def read_entry(self, seq: int) -> bytes: ...

    async def checkpoint(self) -> bytes: ...


class Administrator:
    """Acts for an authenticated peer after the admin policy allowed it; denials are recorded."""

    def __init__(
        self,
        authorizer: Authorizer,
        ledger: Ledger,
        log: RecordReader,
        tokens: TokenVerifier,
        revocations: RevocationSet,
        clock: Clock,
        zone: tzinfo,
    ) -> None:
        self._authorizer = authorizer
        self._ledger = ledger
        self._log = log
        self._tokens = tokens
        self._revocations = revocations
        self._clock = clock
        self._zone = zone

    async def introspect(self, context: RequestContext, token: str) -> TokenState:
        """The state of a token (RFC 7662). A token that is not ours is inactive, never an error."""
        await self.allow(context, AdminAction.INTROSPECT)
        claims = self._claims(token)
        now = self._clock.now_ns() // NS_PER_SECOND
        if claims is None or now >= claims.expires_at or self._revocations.has_token(claims.token_id):
            return TokenState(active=False)
        return TokenState(
            True,
            claims.token_id,
            claims.subject,
            claims.scope,
            claims.issued_at,
            claims.expires_at,
            claims.thumbprint,
            claims.user,
        )

    async def revoke(self, context: RequestContext, token: str) -> None:
        """Revokes a token (RFC 7009): its holder may always, others as policy says. The record is durable
        before this returns, and the token is refused from before that on. A token that is not ours is
        ignored, as the RFC asks.
        """
        claims = self._claims(token)
        if claims is None or claims.subject != context.peer.spiffe_id:
            await self.allow(context, AdminAction.REVOKE)
        now = self._clock.now_ns() // NS_PER_SECOND
        check_time(context.peer, now)
        if claims is None:
            return
        self._revocations.forget_expired(now)
        self._revocations.revoke_token(claims.token_id, claims.expires_at)
        await self._ledger.append(
            self.record(RecordType.REVOKED, context, AdminAction.REVOKE, token_id=claims.token_id)
        )

    async def records(self, context: RequestContext, after_seq: int, search: Search) -> AsyncIterator[bytes]:
        """The durable entries after `after_seq` that `search` finds, oldest first, as their signed JSON
        bytes.
        """
        await self.allow(context, AdminAction.RECORD_READ)
        async for _, entry in self._log.tail(after_seq, search):
            yield entry

    async def records_of(self, context: RequestContext, wanted: str) -> list[bytes]:
        """The durable entries of the call `wanted`, oldest first."""
        await self.allow(context, AdminAction.RECORD_READ)
        return [entry for _, entry in await self._log.of_call(wanted)]

    async def record_at(self, context: RequestContext, seq: int) -> bytes:
        """The durable entry `seq`. Raises NOT_FOUND, too."""
        await self.allow(context, AdminAction.RECORD_READ)
        return await self._log.read_entry(seq)

    async def checkpoint(self, context: RequestContext) -> bytes:
        """The newest signed checkpoint."""
        await self.allow(context, AdminAction.CHECKPOINT_READ)
        return await self._log.checkpoint()

    def _claims(self, token: str) -> Claims | None:
        try:
            return self._tokens.verify(token)
        except BrokerError:
            return None

    async def may(self, context: RequestContext, action: AdminAction) -> bool:
        """Whether policy gives this peer the right; asking leaves no record. Raises as `allow` does."""
        return (await self._decide(context, action))[0].allow

    async def allow(self, context: RequestContext, action: AdminAction) -> str | None:
        """The input that policy judged, for the record of what follows. Raises POLICY_DENIED, recorded,
        CERTIFICATE_INVALID or POLICY_ENGINE_UNAVAILABLE.
        """
        decision, asked = await self._decide(context, action)
        if decision.allow:
            return asked
        denied = self.record(RecordType.DENIED, context, action)
        await self._ledger.append(
            denied._replace(
                reason=Kind.POLICY_DENIED.value,
                rule=decision.rule,
                policy_revision=decision.policy.revision,
                policy_sha256=decision.policy.sha256,
                policy_input=asked,
            )
        )
        raise BrokerError(
            Kind.POLICY_DENIED,
            f"Policy does not allow this. {decision.reason}",
            rule=decision.rule,
            remedy=f"Ask the security team for the admin right {action.value}.",
        )

    async def _decide(self, context: RequestContext, action: AdminAction) -> tuple[AdminDecision, str | None]:
        now_ns = self._clock.now_ns()
        check_time(context.peer, now_ns // NS_PER_SECOND)
        document: dict[str, object] = {
            "v": 1,
            "subject": subject_input(subject_of(context.peer)),
            "action": action.value,
            "transport": context.transport,
            "time": time_input(now_ns, self._zone),
            "now_ns": now_ns,
        }
        verdict = await self._authorizer.evaluate(DecisionPoint.ADMIN, document)
        return parse_admin_decision(verdict.result, verdict.policy), recorded(document)

    def record(
        self,
        kind: RecordType,
        context: RequestContext,
        action: AdminAction,
        *,
        token_id: str | None = None,
    ) -> Record:
        """What a record of this action says of who asked."""
        subject = subject_of(context.peer)
        return Record(
            type=kind,
            call_id=context.call_id,
            user=subject.id,
            subject=subject.id,
            actor_chain=subject.actor_chain,
            tenant=subject.tenant,
            cert_sha256=context.peer.cert_sha256,
            token_id=token_id,
            transport=context.transport,
            operation=action.value,
            decision="deny" if kind is RecordType.DENIED else "allow",
        )
