"""What passes through from upstream: its headers and its own error bodies; and what the broker adds."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.e2e.raw import bearer, records
from tests.running import RunningBroker

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
PASSED = (
    "x-request-id",
    "openai-processing-ms",
    "openai-version",
    "x-ratelimit-limit-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-requests",
    "x-ratelimit-reset-tokens",
)
OPERATIONS: dict[str, tuple[str, dict[str, Any] | None]] = {
    "chat": ("/v1/chat/completions", CHAT),
    "chat stream": ("/v1/chat/completions", {**CHAT, "stream": True}),
    "completions": ("/v1/completions", {"model": "gpt-4o", "prompt": "x"}),
    "edits": ("/v1/edits", {"model": "m", "instruction": "x"}),
    "embeddings": ("/v1/embeddings", {"model": "text-embedding-3-small", "input": "x"}),
    "moderations": ("/v1/moderations", {"input": "x"}),
    "responses": ("/v1/responses", {"model": "gpt-4o", "input": "x"}),
    "responses stream": ("/v1/responses", {"model": "gpt-4o", "input": "x", "stream": True}),
    "models": ("/v1/models", None),
    "a model": ("/v1/models/gpt-4o", None),
    "stored chats": ("/v1/chat/completions", None),
}


def call(broker: RunningBroker, path: str, body: object, **headers: str) -> httpx.Response:
    """One call as the explorer; a GET where there is no body."""
    with broker.http("explorer") as client:
        sent = {**bearer(broker, "explorer"), **headers}
        return client.get(path, headers=sent) if body is None else client.post(path, json=body, headers=sent)


@pytest.mark.parametrize("name", OPERATIONS)
def test_upstreams_headers_and_our_call_id_come_back(broker: RunningBroker, name: str) -> None:
    reply = call(broker, *OPERATIONS[name])
    assert reply.status_code == 200
    assert [header for header in PASSED if header not in reply.headers] == []
    intent, outcome = records(broker, reply.headers["x-broker-call-id"])
    assert (intent["type"], outcome["type"]) == ("intent", "outcome")
    assert outcome["upstream_request_id"] == reply.headers["x-request-id"]
    assert reply.headers.get_list("x-broker-call-id") == [outcome["call_id"]]
    assert "set-cookie" not in reply.headers
    assert "server" not in reply.headers


UPSTREAM_ERRORS: dict[str, tuple[dict[str, Any], str, int, dict[str, object]]] = {
    "moderation": (CHAT, "moderation-400", 400, {"code": "invalid_prompt"}),
    "context": (CHAT, "context-400", 400, {"code": "context_length_exceeded", "param": "messages"}),
    "unknown model": ({**CHAT, "model": "no-such-model"}, "", 404, {"code": "model_not_found"}),
    "429": (CHAT, "429/retry-after-ms:0", 429, {"code": "rate_limit_exceeded"}),
}


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("name", UPSTREAM_ERRORS)
def test_upstreams_own_error_comes_back_unchanged(broker: RunningBroker, name: str, stream: bool) -> None:
    body, fault, status, expected = UPSTREAM_ERRORS[name]
    reply = call(broker, "/v1/chat/completions", {**body, "stream": stream}, **{"x-sim-fault": fault})
    error = reply.json()["error"]
    assert reply.status_code == status
    assert {key: error[key] for key in expected} == expected
    assert set(error) == {"message", "type", "param", "code"}, "the broker changed upstream's error"
    assert reply.headers["x-request-id"].startswith("req_")
    outcome = records(broker, reply.headers["x-broker-call-id"])[-1]
    assert (outcome["type"], outcome["status"]) == ("outcome", status)


def test_own_errors_carry_a_request_id_too(broker: RunningBroker) -> None:
    reply = call(broker, "/v1/chat/completions", {**CHAT, "temperature": 3})
    assert reply.headers["x-request-id"] == reply.headers["x-broker-call-id"]
    assert records(broker, reply.headers["x-broker-call-id"])
