"""Callers see what is left of their limits, in a form of ours beside upstream's, over both listeners."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from broker.gen.broker.v1 import openai_pb2, openai_pb2_grpc
from tests.e2e.raw import bearer, channel
from tests.running import RunningBroker, start_broker

POLICIES = Path(__file__).parents[2] / "policies"
DAY = 86_400
LIMITS = {
    "requests/day": {"unit": "requests", "cap": 4, "window_seconds": DAY},
    "requests/week": {"unit": "requests", "cap": 1000, "window_seconds": 7 * DAY},
    "spend/day": {"unit": "micro_usd", "cap": 10_000_000, "window_seconds": DAY},
}
"""What each of the three identities below may use of its own."""
OURS = "x-broker-ratelimit-"
CHAT: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    folder = tmp_path_factory.mktemp("limited")
    policies = Path(shutil.copytree(POLICIES, folder / "policies"))
    data = json.loads((policies / "data.json").read_text())
    for role in ("assistant", "explorer", "batch"):
        data["roles"][role]["limits"] = LIMITS
    (policies / "data.json").write_text(json.dumps(data))
    running = start_broker(folder / "b", "--policies", str(policies))
    yield running
    running.stop()


def _chat(broker: RunningBroker, identity: str, **fields: Any) -> httpx.Response:
    with broker.http(identity) as client:
        return client.post("/v1/chat/completions", json=CHAT | fields, headers=bearer(broker, identity))


def _ours(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.removeprefix(OURS): value for name, value in headers.items() if name.startswith(OURS)}


def _trailers(call: Any) -> dict[str, Any]:
    return dict(call.trailing_metadata())


def test_each_reply_tells_what_its_call_left_and_the_last_that_nothing_is(limited: RunningBroker) -> None:
    replies = [_chat(limited, "assistant", stream=number == 1) for number in range(5)]
    assert [reply.status_code for reply in replies] == [200, 200, 200, 200, 429]
    told = [_ours(reply.headers) for reply in replies]
    assert [each["remaining-requests"] for each in told] == ["3", "2", "1", "0", "0"]
    assert {each["limit-requests"] for each in told} == {"4"}
    assert all(each["reset-requests"].endswith("s") for each in told)
    assert int(told[0]["remaining-micro-usd"]) < int(told[0]["limit-micro-usd"]) == 10_000_000
    refused = replies[-1]
    assert refused.json()["error"]["reason"] == "RATE_LIMITED"
    assert float(refused.headers["retry-after"]) > 0


def test_upstreams_own_limits_stay_beside_ours(limited: RunningBroker) -> None:
    body = {"model": "text-embedding-3-small", "input": "hello"}
    with limited.http("batch") as client:
        headers = client.post("/v1/embeddings", json=body, headers=bearer(limited, "batch")).headers
    assert (headers["x-ratelimit-limit-requests"], headers[f"{OURS}limit-requests"]) == ("10000", "4")


def test_a_caller_of_grpc_sees_the_same_as_trailers(limited: RunningBroker) -> None:
    request = openai_pb2.CreateChatCompletionRequest(model="gpt-4o-mini")
    request.messages.add(role="ROLE_USER").content.text = "hello"
    token = (("authorization", bearer(limited, "explorer")["authorization"]),)
    with channel(limited, "explorer") as opened:
        stub = openai_pb2_grpc.OpenAIServiceStub(opened)
        told: list[dict[str, str]] = []
        for _ in range(4):
            _, call = stub.CreateChatCompletion.with_call(request, metadata=token, timeout=30)
            assert _trailers(call)["x-broker-policy-revision"]
            told.append(_ours(_trailers(call)))
        with pytest.raises(grpc.RpcError) as refused:
            stub.CreateChatCompletion(request, metadata=token, timeout=30)
    assert [each["remaining-requests"] for each in told] == ["3", "2", "1", "0"]
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    trailers = _trailers(refused.value)
    assert _ours(trailers)["remaining-requests"] == "0"
    assert b"google.rpc.QuotaFailure" in trailers["grpc-status-details-bin"]
    assert b"google.rpc.RetryInfo" in trailers["grpc-status-details-bin"]
