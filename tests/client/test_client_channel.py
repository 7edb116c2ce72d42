"""gRPC channels: mTLS, and the token in each call's metadata."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import grpc
import pytest

from broker.client import Credentials, TokenRequest, aio_grpc_channel, grpc_channel
from tests.client.endpoint import Endpoint
from tests.client.pki import Authority

METHOD = "/test.Echo/Authorization"
KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


def _authorization(_request: bytes, context: grpc.ServicerContext) -> bytes:
    return ",".join(
        str(value) for key, value in context.invocation_metadata() if key == "authorization"
    ).encode()


def _handler(kind: str) -> grpc.RpcMethodHandler[bytes, bytes]:
    """That answers a call of any kind with its authorization, once."""
    makes: Any = getattr(grpc, f"{kind}_rpc_method_handler")
    if kind.endswith("unary"):
        return cast("grpc.RpcMethodHandler[bytes, bytes]", makes(_authorization))
    answer = makes(lambda request, context: iter([_authorization(request, context)]))
    return cast("grpc.RpcMethodHandler[bytes, bytes]", answer)


@pytest.fixture
def target(authority: Authority) -> Iterator[str]:
    """A gRPC server that answers with the authorization metadata it got."""
    leaf = authority.leaf("grpc")
    pair = (leaf.key.read_bytes(), leaf.cert.read_bytes())
    secure = grpc.ssl_server_credentials([pair], authority.ca.read_bytes(), require_client_auth=True)
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        echo: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(_authorization)
        handlers = {"Authorization": echo, **{kind: _handler(kind) for kind in KINDS}}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
        port = server.add_secure_port("127.0.0.1:0", secure)
        server.start()
        yield f"127.0.0.1:{port}"
        server.stop(None).wait()


def test_channel_sends_the_token(target: str, endpoint: Endpoint, credentials: Credentials) -> None:
    with grpc_channel(target, endpoint.url, credentials, TokenRequest(scope="chat")) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
        assert [call(b"", timeout=5) for _ in range(3)] == [b"Bearer token-1"] * 3
    assert [form["scope"] for form in endpoint.forms] == ["chat"]


async def test_aio_channel_sends_the_token(target: str, endpoint: Endpoint, credentials: Credentials) -> None:
    async with aio_grpc_channel(target, endpoint.url, credentials) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
        assert [await call(b"", timeout=5) for _ in range(3)] == [b"Bearer token-1"] * 3
    assert len(endpoint.forms) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_call_sends_the_token(
    target: str, endpoint: Endpoint, credentials: Credentials, kind: str
) -> None:
    with grpc_channel(target, endpoint.url, credentials) as channel:
        call = getattr(channel, kind)(f"/test.Echo/{kind}")
        answer = call(iter([b""]) if kind.startswith("stream") else b"", timeout=5)
        assert answer == b"Bearer token-1" if kind.endswith("unary") else list(answer) == [b"Bearer token-1"]


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_of_aio_call_sends_the_token(
    target: str, endpoint: Endpoint, credentials: Credentials, kind: str
) -> None:
    async with aio_grpc_channel(target, endpoint.url, credentials) as channel:
        call = getattr(channel, kind)(f"/test.Echo/{kind}")
        answer = call(iter([b""]) if kind.startswith("stream") else b"", timeout=5)
        got = [await answer] if kind.endswith("unary") else [each async for each in answer]
        assert got == [b"Bearer token-1"]


def test_denied_token_ends_the_call_with_the_brokers_words(
    target: str, endpoint: Endpoint, credentials: Credentials
) -> None:
    endpoint.refuse_tokens = True
    with grpc_channel(target, endpoint.url, credentials) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
        with pytest.raises(grpc.RpcError, match="nothing is granted"):
            call(b"", timeout=5)
