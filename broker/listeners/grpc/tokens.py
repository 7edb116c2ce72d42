"""TokenService: issue, introspect, revoke.

Knows: its messages. Must not know: how a token is decided, minted or recorded.
"""

from __future__ import annotations

from broker.gen.broker.v1 import token_pb2
from broker.identity.scope import parse_scope
from broker.listeners.decode import checked_purpose
from broker.listeners.fields import refuse
from broker.listeners.grpc.middleware import RpcContext, RpcResult
from broker.listeners.grpc.parse import parse
from broker.listeners.interfaces import AdminInterface, TokenInterface
from broker.model.token import AccessTokenRequest

_NO_STORE = (("cache-control", "no-store"),)


class TokenServicer:
    """The behaviours of TokenService."""

    def __init__(self, token_issuer: TokenInterface, administrator: AdminInterface) -> None:
        self._token_issuer = token_issuer
        self._administrator = administrator

    async def issue(self, rpc: RpcContext) -> RpcResult:
        """IssueToken. Raises BrokerError."""
        asked = parse(token_pb2.IssueTokenRequest, rpc.request)
        wish = AccessTokenRequest(
            scope=parse_scope(" ".join(asked.scope)),
            ttl_seconds=_positive(asked, "ttl_seconds"),
            user=asked.user or None,
            max_tokens=_positive(asked, "max_tokens"),
            audience=asked.audience or None,
            purpose=checked_purpose(asked.purpose, "purpose") if asked.purpose else None,
        )
        issued = await self._token_issuer.issue(rpc.context, wish)
        reply = token_pb2.IssueTokenResponse(
            token=issued.token, token_id=issued.token_id, expires_in=issued.expires_in, scope=issued.scope
        )
        return RpcResult(reply.SerializeToString(), _NO_STORE)

    async def introspect(self, rpc: RpcContext) -> RpcResult:
        """IntrospectToken. Raises BrokerError."""
        asked = parse(token_pb2.IntrospectTokenRequest, rpc.request)
        state = await self._administrator.introspect(rpc.context, _given(asked.token))
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
        return RpcResult(reply.SerializeToString(), _NO_STORE)

    async def revoke(self, rpc: RpcContext) -> RpcResult:
        """RevokeToken. Raises BrokerError."""
        asked = parse(token_pb2.RevokeTokenRequest, rpc.request)
        await self._administrator.revoke(rpc.context, _given(asked.token))
        return RpcResult(token_pb2.RevokeTokenResponse().SerializeToString())


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
