"""The token in every gRPC call's `authorization` metadata.

Knows: interceptors. Must not know: channels, any service or message.
It is no call credentials plugin: grpcio lets go of one on a thread of its own, which waits for Python's lock
while `Channel.close` holds it, and so the two may wait for each other forever (seen in grpcio 1.85).
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import grpc
import grpc.aio
import httpx

from broker.client.auth import BrokerAuth
from broker.client.credentials import Credentials
from broker.client.token import TokenRequest
from broker.errors import BrokerError

Metadata = tuple[tuple[str, str], ...]


class TokenNotGivenError(grpc.RpcError):
    """What a call ends with for which no token was given: the broker's words, or why nobody answered."""

    def __init__(self, error: BrokerError | httpx.HTTPError) -> None:
        super().__init__(str(error))
        refused = isinstance(error, BrokerError)
        self._code = grpc.StatusCode.UNAUTHENTICATED if refused else grpc.StatusCode.UNAVAILABLE

    def code(self) -> grpc.StatusCode:
        """UNAUTHENTICATED where the token was refused, UNAVAILABLE where no broker answered."""
        return self._code

    def details(self) -> str:
        """The same text as the error's own."""
        return str(self)


class CallTokens:
    """What a call's metadata needs; of one certificate."""

    def __init__(self, broker_url: str, credentials: Credentials, wish: TokenRequest) -> None:
        self._auth = BrokerAuth(broker_url, wish)
        self._context = credentials.ssl_context()
        self._purpose = (("x-broker-purpose", wish.purpose),) if wish.purpose is not None else ()

    def added_to(self, metadata: Metadata | None) -> Metadata:
        """Blocks where a token has to be asked for. Raises TokenNotGivenError."""
        try:
            token = self._auth.token(self._context)
        except (BrokerError, httpx.HTTPError) as error:
            raise TokenNotGivenError(error) from None
        return (*(metadata or ()), ("authorization", f"Bearer {token.value}"), *self._purpose)

    async def added_beside(self, metadata: Metadata | None) -> Metadata:
        """The same without blocking."""
        if self._auth.has_token():
            return self.added_to(metadata)
        return await asyncio.to_thread(self.added_to, metadata)


class _Details(NamedTuple):
    method: str
    timeout: float | None
    metadata: Metadata | None
    credentials: grpc.CallCredentials | None
    wait_for_ready: bool | None
    compression: grpc.Compression | None


class TokenInterceptor(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Every kind of call is begun alike."""

    def __init__(self, tokens: CallTokens) -> None:
        self._tokens = tokens

    def _begin(self, continuation: Any, asked: Any, request: Any) -> Any:
        metadata = self._tokens.added_to(asked.metadata)
        waits, packs = asked.wait_for_ready, asked.compression
        details = _Details(asked.method, asked.timeout, metadata, asked.credentials, waits, packs)
        return continuation(details, request)

    intercept_unary_unary: Any = _begin
    intercept_unary_stream: Any = _begin
    intercept_stream_unary: Any = _begin
    intercept_stream_stream: Any = _begin


class _AioInterceptor:
    """What those for each kind of call share: grpcio takes an interceptor for one kind only."""

    def __init__(self, tokens: CallTokens) -> None:
        self._tokens = tokens

    async def begin(self, continuation: Any, asked: Any, request: Any) -> Any:
        metadata = await self._tokens.added_beside(asked.metadata)
        return await continuation(asked._replace(metadata=grpc.aio.Metadata(*metadata)), request)


class _AioUnaryUnary(_AioInterceptor, grpc.aio.UnaryUnaryClientInterceptor):
    intercept_unary_unary: Any = _AioInterceptor.begin


class _AioUnaryStream(_AioInterceptor, grpc.aio.UnaryStreamClientInterceptor):
    intercept_unary_stream: Any = _AioInterceptor.begin


class _AioStreamUnary(_AioInterceptor, grpc.aio.StreamUnaryClientInterceptor):
    intercept_stream_unary: Any = _AioInterceptor.begin


class _AioStreamStream(_AioInterceptor, grpc.aio.StreamStreamClientInterceptor):
    intercept_stream_stream: Any = _AioInterceptor.begin


def aio_interceptors(tokens: CallTokens) -> list[grpc.aio.ClientInterceptor]:
    """One for each kind of call."""
    kinds = (_AioUnaryUnary, _AioUnaryStream, _AioStreamUnary, _AioStreamStream)
    return [kind(tokens) for kind in kinds]
