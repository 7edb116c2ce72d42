"""HTTP/1.0, HEAD, and compressed bodies at the HTTPS listener; streams as some upstreams write them."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable

import httpx
import pytest
from backports import zstd

from broker.listeners.https.routes import ROUTES
from tests.e2e.raw import bearer, connection, until_closed
from tests.e2e.records import outcome
from tests.e2e.staged import Staged
from tests.e2e.upstreams import DONE, Exchange, chat_event
from tests.running import RunningBroker

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "compressed"}]}
SECRET = "AKIAIOSFODNN7EXAMPLE"

GET_PATHS = sorted(route.path for route in ROUTES if route.method == "GET" and "{" not in route.path)


def post(broker: RunningBroker, body: bytes, coding: str) -> httpx.Response:
    headers = {**bearer(broker, "explorer"), "content-type": "application/json", "content-encoding": coding}
    with broker.http("explorer") as client:
        return client.post("/v1/chat/completions", content=body, headers=headers)


@pytest.mark.parametrize(
    ("coding", "pack"), [("zstd", zstd.compress), ("gzip", gzip.compress), ("deflate", zlib.compress)]
)
def test_a_compressed_body_goes_upstream_without_its_coding(
    staged: Staged, coding: str, pack: Callable[[bytes], bytes]
) -> None:
    staged.upstream.answer(lambda exchange: exchange.whole(200, b"{}"))
    plain = json.dumps(CHAT).encode()
    assert post(staged.broker, pack(plain), coding).status_code == 200
    assert staged.upstream.bodies == [plain]
    assert "content-encoding" not in dict(staged.upstream.heads[0])


def test_a_secret_in_a_compressed_body_is_found(staged: Staged) -> None:
    body = json.dumps({**CHAT, "messages": [{"role": "user", "content": SECRET}]}).encode()
    reply = post(staged.broker, zstd.compress(body), "zstd")
    assert reply.json()["error"]["code"] == "content_policy_violation"


def test_a_coding_that_is_not_known_is_415_and_tells_which_are(staged: Staged) -> None:
    reply = post(staged.broker, b"brotli", "br")
    assert (reply.status_code, reply.json()["error"]["reason"]) == (415, "UNSUPPORTED_ENCODING")
    assert reply.headers["accept-encoding"] == "gzip, deflate, zstd"


def raw(broker: RunningBroker, request: bytes) -> tuple[bytes, bytes]:
    """Head (in lower case) and body of one reply, after which the connection must end."""
    with connection(broker, broker.tls("explorer"), broker.https) as secure:
        secure.sendall(request)
        head, _, body = until_closed(secure).partition(b"\r\n\r\n")
    return head.lower(), body


def test_http_1_0_gets_no_chunks(staged: Staged) -> None:
    events = (chat_event("one"), chat_event("two"), DONE)
    staged.upstream.answer(lambda exchange: exchange.events(*events))
    body = json.dumps({**CHAT, "stream": True}).encode()
    authorization = bearer(staged.broker, "explorer")["authorization"]
    head, got = raw(
        staged.broker,
        b"POST /v1/chat/completions HTTP/1.0\r\ncontent-type: application/json\r\nauthorization: %b\r\n"
        b"content-length: %d\r\n\r\n%b" % (authorization.encode(), len(body), body),
    )
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head
    assert got == b"".join(events)


@pytest.mark.parametrize(
    "path",
    [
        "/healthz",
        "/readyz",
        "/.well-known/jwks.json",
        "/.well-known/oauth-authorization-server",
        "/v1/models",
    ],
)
def test_head_works_wherever_get_does(broker: RunningBroker, path: str) -> None:
    with broker.http("explorer") as client:
        asked = bearer(broker, "explorer")
        got, head = client.get(path, headers=asked), client.head(path, headers=asked)
    assert (head.status_code, head.content) == (got.status_code, b"")
    for name in ("content-type", "content-length"):
        assert head.headers[name] == got.headers[name]


@pytest.mark.parametrize(
    "media", ["Text/Event-Stream", "TEXT/EVENT-STREAM;charset=utf-8", "text/event-stream ; a"]
)
def test_an_event_stream_in_capitals_is_a_stream(staged: Staged, media: str) -> None:
    def script(exchange: Exchange) -> None:
        exchange.head(200, content_type=media)
        exchange.wfile.write(chat_event("capital") + DONE)

    staged.upstream.answer(script)
    with staged.broker.http("explorer") as client:
        reply = client.post(
            "/v1/chat/completions", json={**CHAT, "stream": True}, headers=bearer(staged.broker, "explorer")
        )
    assert reply.text.endswith("data: [DONE]\n\n")
    assert outcome(staged.broker.log, reply.headers["x-broker-call-id"]).error is None


@pytest.mark.parametrize("end", [b"data: [DONE]", b"data: [DONE]\n", b"data: [DONE]\r\n", b"data:[DONE]"])
def test_done_without_its_blank_line_at_the_end_is_complete(staged: Staged, end: bytes) -> None:
    staged.upstream.answer(lambda exchange: exchange.events(chat_event("whole"), end))
    with staged.broker.http("explorer") as client:
        reply = client.post(
            "/v1/chat/completions", json={**CHAT, "stream": True}, headers=bearer(staged.broker, "explorer")
        )
    assert "upstream_interrupted" not in reply.text
    assert reply.content.rstrip().endswith(b"[DONE]")
    assert outcome(staged.broker.log, reply.headers["x-broker-call-id"]).error is None
