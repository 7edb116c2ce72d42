"""Paths at the HTTPS listener that try to reach another upstream route: they stay 404 and never leave."""

from __future__ import annotations

import pytest

from broker.listeners.https.routes import ROUTES
from tests.e2e.raw import bearer, nothing_reaches_upstream, records, say
from tests.running import RunningBroker

CLIMBING = (
    "/v1/models/../files",
    "/v1/../v1/files",
    "/v1/models/..",
    "/v1/models/.",
    "/v1/models/%2e%2e",
    "/v1/models/%2e%2e/files",
    "/v1/models/%2E%2E%2Ffiles",
    "/v1/models/..%2ffiles",
    "/v1/models/gpt-4o%2f..%2f..%2ffiles",
    "/v1/models/gpt-4o/../../files",
    "/v1/models/%252e%252e%252ffiles",
    "/v1/models/..%5cfiles",
    "/v1/models/..\\files",
    "/v1/models/gpt-4o%00",
    "/v1/models/gpt-4o%3fx=1",
    "/v1/models/gpt-4o%23x",
    "/v1/models/gpt-4o%0d%0ax-evil:1",
    "/v1/models/%c0%ae%c0%ae",
    "/v1/models/gpt-4o;x=/../files",
    "/v1/models/",
    "/v1/models//",
    "//v1/models",
    "/v1//models",
    "/v1/./models",
    "/V1/models",
    "/v1/models/gpt-4o/files",
    "/v1/chat/completions/../../files",
    "/v1/chat/completions/..",
    "/v1/chat/completions/x%2f..",
    "/v1/chat/completions/chatcmpl_1/messages/../..",
    "/v1/responses/resp_1%2finput_items",
    "/v1/responses/..%2f..%2fmodels",
    "/v1/responses/resp.1",
    "/oauth/../v1/models",
    "/.well-known/../v1/models",
    "/sim/received",
    "*",
)
OUTSIDE = (
    ("GET", "/v1/files"),
    ("POST", "/v1/files"),
    ("GET", "/v1/organization/admin_api_keys"),
    ("POST", "/v1/assistants"),
    ("POST", "/v1/audio/speech"),
    ("POST", "/v1/images/generations"),
    ("POST", "/v1/engines/davinci/completions"),
    ("PUT", "/v1/models/gpt-4o"),
    ("POST", "/v1/models"),
    ("DELETE", "/v1/chat/completions"),
    ("GET", "/v1/embeddings"),
    ("HEAD", "/v1/embeddings"),
    ("OPTIONS", "/v1/chat/completions"),
    ("TRACE", "/v1/models"),
    ("GET", "/"),
    ("GET", "/metrics"),
    ("GET", "/v1"),
)


def request(method: str, path: str, token: str) -> bytes:
    """One request head exactly as written: no client library tidies the path."""
    return f"{method} {path} HTTP/1.1\r\nhost: broker\r\nauthorization: Bearer {token}\r\n\r\n".encode()


@pytest.mark.parametrize("path", CLIMBING)
def test_path_that_climbs_stays_404_and_never_leaves(broker: RunningBroker, path: str) -> None:
    with nothing_reaches_upstream(broker):
        reply = say(
            broker, "explorer", request("OPTIONS" if path == "*" else "GET", path, broker.token("explorer"))
        )
    assert (reply.status, reply.error()["code"]) == (404, "not_found")
    assert path not in reply.body.decode()
    assert records(broker, reply.headers["x-broker-call-id"]) == []


@pytest.mark.parametrize(("method", "path"), OUTSIDE)
def test_path_outside_the_table_is_404(broker: RunningBroker, method: str, path: str) -> None:
    with broker.http("explorer") as client, nothing_reaches_upstream(broker):
        reply = client.request(method, path, headers=bearer(broker, "explorer"))
    assert reply.status_code == 404
    assert method == "HEAD" or reply.json()["error"]["reason"] == "NOT_FOUND"


@pytest.mark.parametrize("method", ["CONNECT", "PRI"])
def test_method_that_would_make_the_broker_a_proxy_is_refused(broker: RunningBroker, method: str) -> None:
    with nothing_reaches_upstream(broker):
        reply = say(broker, "explorer", request(method, "example.org:443", broker.token("explorer")))
    assert reply.status in (400, 404)


def test_absolute_target_names_a_path_here_and_no_other_host(broker: RunningBroker) -> None:
    token = broker.token("explorer")
    reply = say(broker, "explorer", request("GET", "https://example.org/v1/models/gpt-4o", token))
    assert reply.status == 200
    assert reply.headers["x-request-id"].startswith("req_")


def test_upgrade_is_not_offered(broker: RunningBroker) -> None:
    with broker.http("explorer") as client:
        wish = {
            "connection": "upgrade",
            "upgrade": "websocket",
            "sec-websocket-key": "eA==",
            "sec-websocket-version": "13",
        }
        reply = client.get("/v1/models", headers={**bearer(broker, "explorer"), **wish})
    assert reply.status_code != 101


@pytest.mark.parametrize(
    "route", [r for r in ROUTES if r.path.startswith("/v1/")], ids=lambda r: f"{r.method} {r.path}"
)
def test_no_route_serves_a_caller_without_token(broker: RunningBroker, route: object) -> None:
    method, path = route.method, route.path.replace("{id}", "id_1").replace("{model}", "gpt-4o")  # type: ignore[attr-defined]
    with broker.http("explorer") as client, nothing_reaches_upstream(broker):
        reply = client.request(method, path, json={"model": "gpt-4o"})
    assert (reply.status_code, reply.json()["error"]["reason"]) == (401, "TOKEN_MISSING")
    assert reply.headers["www-authenticate"].startswith("Bearer ")
    assert records(broker, reply.headers["x-broker-call-id"]) == []
