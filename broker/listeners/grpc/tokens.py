"""TokenService: issue, introspect, revoke.

Knows: its messages. Must not know: how a token is decided, minted or recorded.
"""

from __future__ import annotations

from broker.gen.broker.v1 import token_pb2
from broker.identity.scope import parse_scope
from broker.interfaces import Administering, Issuing
from broker.listeners.decode import checked_purpose
from broker.listeners.fields import refuse
from broker.listeners.grpc.parse import parse
from broker.listeners.grpc.rim import Answer, Visit
from broker.model.token import TokenWish

_NO_STORE = (("cache-control", "no-store"),)


class TokenDesk:
    """The behaviours of TokenService."""

    def __init__(self, issuance: Issuing, administration: Administering) -> None:
        self._issuance = issuance
        self._administration = administration

    async def issue(self, visit: Visit) -> Answer:
        """IssueToken. Raises BrokerError."""
        asked = parse(token_pb2.IssueTokenRequest, visit.request)
        wish = TokenWish(
            scope=parse_scope(" ".join(asked.scope)),
            ttl_seconds=_positive(asked, "ttl_seconds"),
            user=asked.user or None,
            max_tokens=_positive(asked, "max_tokens"),
            audience=asked.audience or None,
            purpose=checked_purpose(asked.purpose, "purpose") if asked.purpose else None,
        )
        issued = await self._issuance.issue(visit.context, wish)
        reply = token_pb2.IssueTokenResponse(
            token=issued.token, token_id=issued.token_id, expires_in=issued.expires_in, scope=issued.scope
        )
        return Answer(reply.SerializeToString(), _NO_STORE)

    async def introspect(self, visit: Visit) -> Answer:
        """IntrospectToken. Raises BrokerError."""
        asked = parse(token_pb2.IntrospectTokenRequest, visit.request)
        state = await self._administration.introspect(visit.context, _given(asked.token))
        reply = token_pb2.IntrospectTokenResponse(
            active=state.active,
            subject=state.subject,
            scope=state.scope,
            issued_at=state.issued_at,
            expires_at=state.expires_at,
            token_id=state.token_id,
            user=state.user,
            thumbprint=state.thumbprint,
        )
        return Answer(reply.SerializeToString(), _NO_STORE)

    async def revoke(self, visit: Visit) -> Answer:
        """RevokeToken. Raises BrokerError."""
        asked = parse(token_pb2.RevokeTokenRequest, visit.request)
        await self._administration.revoke(visit.context, _given(asked.token))
        return Answer(token_pb2.RevokeTokenResponse().SerializeToString())


def _given(token: str) -> str:
    if not token:
        raise refuse("token", "it is missing")
    return token


def _positive(asked: token_pb2.IssueTokenRequest, name: str) -> int | None:
    if not asked.HasField(name):  # type: ignore[arg-type]
        return None
    value: int = getattr(asked, name)
    if value < 1:
        raise refuse(name, "expected an integer of at least 1")
    return value
