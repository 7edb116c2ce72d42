"""Hostile connections at both listeners: no certificate, plain text, old TLS, another CA, big or slow
heads.
"""

from __future__ import annotations

import socket
import ssl
import time
from pathlib import Path

import grpc
import httpx
import pytest

from broker.adapters.pki import DevPki
from broker.gen.broker.v1 import openai_pb2, openai_pb2_grpc
from tests import plain
from tests.e2e.raw import (
    CANARY,
    address,
    assert_unwritten,
    bearer,
    channel,
    connection,
    nothing_reaches_upstream,
    records,
    say,
    until_closed,
)
from tests.running import RunningBroker

GET = b"GET /v1/models HTTP/1.1\r\nhost: broker\r\n"
POST = b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\n"
LISTENERS = ("https", "grpc")


def listener(broker: RunningBroker, name: str) -> str:
    return broker.https if name == "https" else broker.grpc


def assert_serving(broker: RunningBroker) -> None:
    """Both listeners still answer a well-behaved caller."""
    with broker.http("explorer") as client:
        assert client.get("/v1/models", headers=bearer(broker, "explorer")).status_code == 200
    with channel(broker, "explorer") as opened:
        metadata = tuple(bearer(broker, "explorer").items())
        stub = openai_pb2_grpc.OpenAIServiceStub(opened)
        assert stub.ListModels(openai_pb2.ListModelsRequest(), metadata=metadata, timeout=10).data


def test_caller_without_certificate_gets_a_json_401(broker: RunningBroker) -> None:
    with broker.http(None) as client, nothing_reaches_upstream(broker):
        reply = client.get("/v1/models", headers=bearer(broker, "explorer"))
    assert reply.http_version == "HTTP/1.1"
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "invalid_api_key")
    assert reply.json()["error"]["reason"] == "CERTIFICATE_INVALID"
    assert reply.headers["www-authenticate"].startswith("Bearer ")
    assert records(broker, reply.headers["x-broker-call-id"]) == []


def test_caller_without_certificate_gets_no_token(broker: RunningBroker) -> None:
    with broker.http(None) as client:
        reply = client.post("/oauth/token", data={"grant_type": "client_credentials"})
    assert (reply.status_code, reply.json()["error"]) == (401, "invalid_client")


def test_rpc_without_certificate_is_refused(broker: RunningBroker) -> None:
    with channel(broker, None) as opened, pytest.raises(grpc.RpcError) as caught:
        openai_pb2_grpc.OpenAIServiceStub(opened).ListModels(openai_pb2.ListModelsRequest(), timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert_serving(broker)


def test_body_of_a_stranger_is_never_read(broker: RunningBroker) -> None:
    """The answer comes although of the announced megabyte not a byte is sent."""
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    reply = say(
        broker, "explorer", head + b"authorization: Bearer no.such.token\r\ncontent-length: 1000000\r\n\r\n"
    )
    assert (reply.status, reply.error()["reason"]) == (401, "TOKEN_INVALID")
    assert records(broker, reply.headers["x-broker-call-id"]) == []


@pytest.mark.parametrize("name", LISTENERS)
def test_plain_text_client_is_cut_off_and_the_broker_goes_on(broker: RunningBroker, name: str) -> None:
    with socket.create_connection(address(listener(broker, name)), timeout=10) as plain:
        plain.sendall(GET + f"x-note: {CANARY}\r\n\r\n".encode())
        heard = until_closed(plain)
    assert b"HTTP/1.1" not in heard
    assert_serving(broker)
    assert_unwritten(broker)


@pytest.mark.parametrize("name", LISTENERS)
def test_tls_1_2_is_refused(broker: RunningBroker, name: str) -> None:
    context = broker.tls("explorer")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        pytest.raises((ssl.SSLError, ConnectionResetError)),
        connection(broker, context, listener(broker, name)),
    ):
        pass
    assert_serving(broker)


@pytest.mark.parametrize("name", LISTENERS)
def test_same_identity_from_another_ca_is_refused(broker: RunningBroker, tmp_path: Path, name: str) -> None:
    forged = DevPki.load_or_create(tmp_path / "pki", "dev.broker").workload("explorer")
    assert forged.spiffe_id == broker.identities["explorer"].spiffe_id
    context = broker.tls(None)
    context.load_cert_chain(forged.cert, forged.key)
    if name == "grpc":
        context.set_alpn_protocols(["h2"])
    with connection(broker, context, listener(broker, name)) as secure:
        secure.sendall(GET + b"\r\n" if name == "https" else b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        heard = until_closed(secure)
    assert b"HTTP/1.1" not in heard
    assert_serving(broker)


@pytest.mark.parametrize(
    "header",
    [
        b"x-note: " + CANARY.encode() * 1500,
        b"\r\n".join(b"x-%d: %b" % (i, CANARY.encode()) for i in range(70)),
    ],
    ids=["20 KiB", "70 fields"],
)
def test_oversize_headers_are_refused(broker: RunningBroker, header: bytes) -> None:
    with nothing_reaches_upstream(broker):
        reply = say(broker, "explorer", GET + header + b"\r\n\r\n")
    assert (reply.status, reply.error()["code"]) == (400, "invalid_request_error")
    assert reply.headers["connection"] == "close"
    assert_unwritten(broker)


@pytest.mark.parametrize(
    "request_bytes",
    [
        POST + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"content-length: 4\r\ncontent-length: 5\r\n\r\nabcde",
        POST + b"content-length: -1\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nhost : x\r\n\r\n",
        b"GET /v1/models HTTP/9.9\r\nhost: x\r\n\r\n",
        b"\x00\x01\x02 nonsense\r\n\r\n",
    ],
    ids=["both lengths", "two lengths", "negative length", "space before colon", "HTTP/9.9", "binary"],
)
def test_smuggled_request_is_refused(broker: RunningBroker, request_bytes: bytes) -> None:
    with nothing_reaches_upstream(broker):
        reply = say(broker, "explorer", request_bytes)
    assert (reply.status, reply.error()["code"]) == (400, "invalid_request_error")


CHAT = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
BODY = b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}'


def chunked(*trailers: bytes) -> bytes:
    """The end of a chunked request with these trailers."""
    return b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(BODY), BODY, b"".join(line + b"\r\n" for line in trailers))


def test_authorization_in_a_trailer_authenticates_nobody(broker: RunningBroker) -> None:
    trailer = f"authorization: Bearer {broker.token('explorer')}".encode()
    with nothing_reaches_upstream(broker):
        reply = say(broker, "explorer", CHAT + b"transfer-encoding: chunked\r\n\r\n" + chunked(trailer))
    assert (reply.status, reply.error()["reason"]) == (401, "TOKEN_MISSING")


def test_no_trailer_becomes_a_header(broker: RunningBroker) -> None:
    """A second `authorization`, another content type, a purpose that breaks the glass: all as if not sent."""
    head = CHAT + f"authorization: Bearer {broker.token('explorer')}\r\n".encode()
    trailers = (b"authorization: Bearer x", b"content-type: text/plain", b"x-broker-purpose: \xff", b"x-a: b")
    reply = say(broker, "explorer", head + b"transfer-encoding: chunked\r\n\r\n" + chunked(*trailers))
    assert reply.status == 200
    upstream = plain.get(f"{broker.upstream.removesuffix('/v1')}/sim/received").json()["entries"][-1]
    assert "x-a" not in upstream["headers"]


def test_trailers_count_towards_the_bound_of_headers(broker: RunningBroker) -> None:
    head = CHAT + b"authorization: Bearer x\r\ntransfer-encoding: chunked\r\n\r\n"
    reply = say(broker, "explorer", head + chunked(b"x-a: " + b"b" * 20_000))
    assert reply.status in (400, 401)
    assert_serving(broker)


def test_slow_headers_end_the_connection_after_5_seconds(broker: RunningBroker) -> None:
    with connection(broker, broker.tls("explorer"), broker.https) as secure:
        secure.sendall(GET)
        started = time.monotonic()
        assert until_closed(secure) == b""
        assert 4 < time.monotonic() - started < 8
    assert_serving(broker)


def test_rpc_metadata_over_the_bound_is_refused(broker: RunningBroker) -> None:
    metadata = (*bearer(broker, "explorer").items(), ("x-note", CANARY * 2000))
    with channel(broker, "explorer") as opened, pytest.raises(grpc.RpcError) as caught:
        openai_pb2_grpc.OpenAIServiceStub(opened).ListModels(
            openai_pb2.ListModelsRequest(), metadata=metadata, timeout=10
        )
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert_unwritten(broker)


def test_http_2_is_not_spoken_at_the_https_listener(broker: RunningBroker) -> None:
    context = broker.tls("explorer")
    context.set_alpn_protocols(["h2", "http/1.1"])
    with connection(broker, context, broker.https) as secure:
        assert secure.selected_alpn_protocol() == "http/1.1"


def test_redirects_and_other_hosts_are_not_offered(broker: RunningBroker) -> None:
    with broker.http("explorer") as client:
        reply = client.get("/v1/models/", headers=bearer(broker, "explorer"))
    assert reply.status_code == httpx.codes.NOT_FOUND
