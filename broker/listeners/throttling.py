"""How often one client certificate may be refused, or ask for tokens, before it is not even asked about.

Knows: which refusals are the caller's own doing. Must not know: why a call is refused, or what refuses it.
Whoever is never refused is never slowed; nothing here costs such a call more than one look into a table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from broker.call.inbound import InboundCall
from broker.errors import BrokerError, Kind
from broker.listeners.interfaces import (
    AdminInterface,
    CallInterface,
    LimitInterface,
    OwnLimitInterface,
    TokenInterface,
)
from broker.model.call import Reply, StreamReply
from broker.model.charge import LimitUse, Taken
from broker.model.limit import OwnLimit
from broker.model.operation import AdminAction
from broker.model.record import Record, RecordType
from broker.model.request_context import RequestContext
from broker.model.subject import IssuedToken, Peer
from broker.model.token import AccessTokenRequest, TokenState
from broker.model.units import NS_PER_SECOND
from broker.ports import Clock, Ledger
from broker.tlog.search import Search

RULE = "limits.refusals_per_second"
_CERTIFICATES = 10_000
_OWN_DOING = frozenset(
    {
        Kind.POLICY_DENIED,
        Kind.CONTENT_BLOCKED,
        Kind.BUDGET_EXCEEDED,
        Kind.RATE_LIMITED,
        Kind.CONTEXT_LENGTH_EXCEEDED,
        Kind.MODEL_RETIRED,
        Kind.TOKEN_MISSING,
        Kind.TOKEN_INVALID,
        Kind.TOKEN_EXPIRED,
        Kind.TOKEN_REVOKED,
        Kind.TOKEN_NOT_YOURS,
        Kind.CERTIFICATE_INVALID,
        Kind.BAD_REQUEST,
        Kind.NOT_FOUND,
        Kind.TOO_LARGE,
    }
)


class Throttle:
    """A leaky bucket for each certificate: each refusal fills it by one, it drains at `per_second`, and holds
    `burst`. Use it from one event loop. What is turned away is told to the ledger, as a refusal. Workers of a
    broker tell each other what fills their buckets (`charged`, `hear`), so that each has those of all.
    """

    def __init__(self, ledger: Ledger, clock: Clock, *, per_second: float, burst: int) -> None:
        self._ledger = ledger
        self._clock = clock
        self._per_second = per_second
        self._burst = burst
        self._filled: dict[str, tuple[float, int]] = {}
        self._charged: Counter[str] = Counter()

    def knows(self, peer: Peer) -> bool:
        """Whether something is in the certificate's bucket: without that there is nothing to `admit`."""
        return peer.cert_sha256 in self._filled

    async def admit(self, context: RequestContext, operation: str) -> None:
        """Raises RATE_LIMITED, with `retry_after`, where the certificate's bucket is full."""
        peer = context.peer
        level = self._level(peer.cert_sha256) if self.knows(peer) else 0.0
        if not level:  # as with nearly everybody: what has drained needs no look the next time
            self._filled.pop(peer.cert_sha256, None)
            return
        above = level - self._burst
        if above < 0:
            return
        await self._ledger.append(_turned_away(context, operation))
        raise BrokerError(
            Kind.RATE_LIMITED,
            "Too many refused calls, or requests for tokens, came with this client certificate.",
            rule=RULE,
            remedy="Wait, keep a token for as long as it lives, and look at why calls are refused.",
            retry_after=max(1.0, (above + 1) / self._per_second),
        )

    def charge(self, peer: Peer) -> None:
        """One more refusal, or token."""
        certificate = peer.cert_sha256
        level = self._level(certificate)
        self._fill(certificate, max(level, min(level + 1, self._burst + 1.0)))
        if len(self._charged) < _CERTIFICATES:
            self._charged[certificate] += 1

    def charged(self) -> dict[str, int]:
        """What has filled each certificate's bucket here since this was asked last."""
        charged, self._charged = self._charged, Counter()
        return dict(charged)

    def hear(self, charged: Mapping[str, int]) -> None:
        """What has filled the buckets of another worker. What all let pass before they heard of each other is
        owed, as far as a bucket holds twice.
        """
        for certificate, number in charged.items():
            self._fill(certificate, min(self._level(certificate) + number, 2.0 * self._burst))

    def _fill(self, certificate: str, level: float) -> None:
        self._filled.pop(certificate, None)
        if len(self._filled) >= _CERTIFICATES:
            del self._filled[next(iter(self._filled))]  # the one that was refused longest ago
        self._filled[certificate] = (level, self._clock.monotonic_ns())

    def refused(self, peer: Peer, error: BrokerError) -> None:
        """Charges a refusal that is the caller's own doing."""
        if error.kind in _OWN_DOING:
            self.charge(peer)

    @asynccontextmanager
    async def passing(self, context: RequestContext, operation: str) -> AsyncIterator[None]:
        """What is done within is admitted first, and charged where it is refused."""
        await self.admit(context, operation)
        try:
            yield
        except BrokerError as error:
            self.refused(context.peer, error)
            raise

    def _level(self, certificate: str) -> float:
        level, at = self._filled.get(certificate, (0.0, 0))
        drained = (self._clock.monotonic_ns() - at) / NS_PER_SECOND * self._per_second
        return max(0.0, level - drained)


def _turned_away(context: RequestContext, operation: str) -> Record:
    peer = context.peer
    return Record(
        RecordType.DENIED,
        call_id=context.call_id,
        user=peer.spiffe_id,
        subject=peer.spiffe_id,
        cert_sha256=peer.cert_sha256,
        transport=context.transport,
        operation=operation,
        decision="refuse",
        reason=Kind.RATE_LIMITED.value,
        rule=RULE,
    )


class ThrottledCalls:
    """Another one's calls."""

    def __init__(self, calls: CallInterface, throttle: Throttle) -> None:
        self._calls = calls
        self._throttle = throttle

    async def run(self, inbound: InboundCall) -> Reply | StreamReply:
        """See the pipeline. Raises RATE_LIMITED before anything is looked at."""
        peer = inbound.context.peer
        if self._throttle.knows(peer):
            await self._throttle.admit(inbound.context, inbound.operation.value)
        try:
            return await self._calls.run(inbound)
        except BrokerError as error:
            self._throttle.refused(peer, error)
            raise


class ThrottledTokens:
    """Another one's tokens: each request counts, for each leaves a record."""

    def __init__(self, token_issuer: TokenInterface, throttle: Throttle) -> None:
        self._token_issuer = token_issuer
        self._throttle = throttle

    async def issue(self, context: RequestContext, wish: AccessTokenRequest) -> IssuedToken:
        """See TokenIssuer. Raises RATE_LIMITED before policy is asked."""
        await self._throttle.admit(context, "token.issue")
        self._throttle.charge(context.peer)
        return await self._token_issuer.issue(context, wish)


class ThrottledLimits:
    """What another one tells of limits: refusals count, and resets, for each leaves a record."""

    def __init__(self, own: OwnLimitInterface, administrator: LimitInterface, throttle: Throttle) -> None:
        self._own = own
        self._administrator = administrator
        self._throttle = throttle

    async def own(
        self, context: RequestContext, bearer: str | None, operation: str | None, model: str | None
    ) -> tuple[OwnLimit, ...]:
        """See OwnLimits."""
        async with self._throttle.passing(context, "limits.mine"):
            return await self._own.own(context, bearer, operation, model)

    async def most_used(self, context: RequestContext, named: str, most: int) -> tuple[LimitUse, ...]:
        """See LimitAdministrator."""
        async with self._throttle.passing(context, AdminAction.LIMITS_READ.value):
            return await self._administrator.most_used(context, named, most)

    async def reset(self, context: RequestContext, limit: str) -> tuple[Taken, ...]:
        """See LimitAdministrator."""
        await self._throttle.admit(context, AdminAction.LIMITS_RESET.value)
        self._throttle.charge(context.peer)
        return await self._administrator.reset(context, limit)


class ThrottledAdmin:
    """Another one's administration: refusals count, and revocations, for each leaves a record."""

    def __init__(self, administrator: AdminInterface, throttle: Throttle) -> None:
        self._administrator = administrator
        self._throttle = throttle

    async def introspect(self, context: RequestContext, token: str) -> TokenState:
        """See Administrator."""
        async with self._throttle.passing(context, AdminAction.INTROSPECT.value):
            return await self._administrator.introspect(context, token)

    async def revoke(self, context: RequestContext, token: str) -> None:
        """See Administrator."""
        await self._throttle.admit(context, AdminAction.REVOKE.value)
        self._throttle.charge(context.peer)
        await self._administrator.revoke(context, token)

    async def records(self, context: RequestContext, after_seq: int, search: Search) -> AsyncIterator[bytes]:
        """See Administrator."""
        async with self._throttle.passing(context, AdminAction.RECORD_READ.value):
            async for entry in self._administrator.records(context, after_seq, search):
                yield entry

    async def records_of(self, context: RequestContext, wanted: str) -> list[bytes]:
        """See Administrator."""
        async with self._throttle.passing(context, AdminAction.RECORD_READ.value):
            return await self._administrator.records_of(context, wanted)

    async def record_at(self, context: RequestContext, seq: int) -> bytes:
        """See Administrator."""
        async with self._throttle.passing(context, AdminAction.RECORD_READ.value):
            return await self._administrator.record_at(context, seq)

    async def checkpoint(self, context: RequestContext) -> bytes:
        """See Administrator."""
        async with self._throttle.passing(context, AdminAction.CHECKPOINT_READ.value):
            return await self._administrator.checkpoint(context)
