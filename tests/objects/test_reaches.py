"""What reaches out of an answer is policy's to allow, and the shipped policies refuse it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import openai
import pytest

from broker.gen.broker.v1 import openai_pb2 as pb
from broker.gen.broker.v1 import openai_pb2_grpc
from tests.e2e.raw import bearer, channel, nothing_reaches_upstream, records, refusal
from tests.e2e.staged import Staged
from tests.e2e.test_operations import sdk, user
from tests.objects.test_foreign_objects import ask
from tests.running import RunningBroker

RESPONSE: dict[str, Any] = {"model": "gpt-4o", "input": "hi"}
CHAT: dict[str, Any] = {"model": "gpt-4o", "messages": user("hi")}
MCP = {"type": "mcp", "server_label": "x", "server_url": "https://mcp.example.org/sse"}

REACHING: dict[str, tuple[dict[str, Any], str]] = {
    "store": ({**RESPONSE, "store": True}, "store"),
    "background": ({**RESPONSE, "background": True}, "background"),
    "mcp with a server_url": ({**RESPONSE, "tools": [MCP]}, "tool:mcp"),
    "a connector": (
        {**RESPONSE, "tools": [{"type": "mcp", "server_label": "x", "connector_id": "connector_gmail"}]},
        "tool:mcp",
    ),
    "image_generation.model": (
        {**RESPONSE, "tools": [{"type": "image_generation", "model": "gpt-image-2"}]},
        "model:gpt-image-2",
    ),
    "web search": ({**RESPONSE, "tools": [{"type": "web_search"}]}, "tool:web_search"),
    "web search of a chat": ({**CHAT, "web_search_options": {}}, "tool:web_search"),
    "file search": (
        {**RESPONSE, "tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]},
        "tool:file_search",
    ),
    "code interpreter": (
        {**RESPONSE, "tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]},
        "tool:code_interpreter",
    ),
    "computer use": ({**RESPONSE, "tools": [{"type": "computer_use_preview"}]}, "tool:computer_use_preview"),
    "a shell": ({**RESPONSE, "tools": [{"type": "shell"}]}, "tool:shell"),
    "a tool of tomorrow": ({**RESPONSE, "tools": [{"type": "teleport"}]}, "tool:teleport"),
    "a tool inside an item": (
        {"model": "gpt-4o", "input": [{"type": "additional_tools", "role": "developer", "tools": [MCP]}]},
        "tool:mcp",
    ),
    "a chat that is kept": ({**CHAT, "store": True}, "store"),
}


def path_of(body: dict[str, Any]) -> str:
    return "/v1/chat/completions" if "messages" in body else "/v1/responses"


@pytest.mark.parametrize(("body", "word"), REACHING.values(), ids=REACHING)
def test_what_a_role_does_not_name_is_refused(broker: RunningBroker, body: dict[str, Any], word: str) -> None:
    with nothing_reaches_upstream(broker):
        reply = ask(broker, "assistant", body, path_of(body))
    assert reply.status_code == 403, reply.text
    error = reply.json()["error"]
    assert (error["reason"], error["rule"]) == ("POLICY_DENIED", "reach_not_granted")
    assert word in error["message"]
    (denied,) = records(broker, reply.headers["x-broker-call-id"])
    assert word in json.loads(denied["policy_input"])["call"]["reaches"]


@pytest.mark.parametrize("name", ["store", "background", "mcp with a server_url"])
def test_grpc_refuses_the_same_reach(broker: RunningBroker, name: str) -> None:
    request = pb.CreateResponseRequest(model="gpt-4o")
    for field, value in REACHING[name][0].items():
        if field != "model":
            request.extra_json[field] = json.dumps(value)
    metadata = tuple(bearer(broker, "assistant").items())
    with (
        nothing_reaches_upstream(broker),
        channel(broker, "assistant") as opened,
        pytest.raises(grpc.RpcError) as caught,
    ):
        openai_pb2_grpc.OpenAIServiceStub(opened).CreateResponse(request, metadata=metadata, timeout=20)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert refusal(caught.value).reason == "POLICY_DENIED"


def test_a_server_is_refused_where_only_its_kind_of_tool_is_named(broker: RunningBroker) -> None:
    reply = ask(broker, "explorer", {**RESPONSE, "tools": [{"type": "web_search"}, MCP]})
    assert reply.status_code == 403
    assert "server:mcp.example.org" in reply.json()["error"]["message"]
    assert "web_search" not in reply.json()["error"]["message"]


@pytest.mark.parametrize("store", [None, "null"])
def test_a_role_that_may_keep_nothing_keeps_nothing_unasked(staged: Staged, store: str | None) -> None:
    staged.upstream.answer(lambda exchange: exchange.whole(200, b'{"object": "response", "id": "resp_9"}'))
    body = {**RESPONSE, "store": None} if store else RESPONSE
    with staged.broker.http("assistant") as client:
        reply = client.post("/v1/responses", json=body, headers=bearer(staged.broker, "assistant"))
    assert reply.status_code == 200
    assert json.loads(staged.upstream.bodies[0]) == {**RESPONSE, "store": False}
    outcome = records(staged.broker, reply.headers["x-broker-call-id"])[-1]
    assert "object_id" not in outcome


@pytest.mark.parametrize(
    "body",
    [
        {**RESPONSE, "store": False, "background": False},
        {**RESPONSE, "tools": [{"type": "function", "name": "f", "parameters": {}}], "store": False},
        {**RESPONSE, "tools": [{"type": "custom", "name": "c"}, {"type": "local_shell"}], "store": False},
        {**CHAT, "store": False, "tools": [{"type": "function", "function": {"name": "f"}}]},
    ],
    ids=str,
)
def test_what_reaches_nothing_goes_on(broker: RunningBroker, body: dict[str, Any]) -> None:
    assert ask(broker, "assistant", body, path_of(body)).status_code == 200


def test_a_secret_in_a_name_that_is_reached_is_in_no_record(broker: RunningBroker) -> None:
    secret = "sk-proj-" + "Ab1" * 20
    tool = {"type": "image_generation", "model": secret}
    reply = ask(broker, "explorer", {**RESPONSE, "tools": [tool]})
    assert reply.status_code in (400, 403)
    (denied,) = records(broker, reply.headers["x-broker-call-id"])
    assert secret not in json.dumps(denied)
    assert secret not in reply.text


# --- POST /v1/responses/compact


@pytest.fixture(scope="module")
def explorer(broker: RunningBroker) -> Iterator[openai.OpenAI]:
    with sdk(broker, "explorer") as client:
        yield client


def test_a_conversation_is_compacted(broker: RunningBroker, explorer: openai.OpenAI) -> None:
    raw = explorer.responses.with_raw_response.compact(
        model="gpt-4o",
        input=[{"role": "user", "content": "long ago"}, {"role": "assistant", "content": "yes"}],
    )
    compacted = raw.parse()
    assert compacted.object == "response.compaction"
    assert [item.type for item in compacted.output] == ["message", "compaction"]
    intent, outcome = records(broker, raw.headers["x-broker-call-id"])
    assert (intent["operation"], outcome["status"]) == ("responses.compact", 200)
    assert outcome["tokens_in"] > 0
    again: Any = json.loads(raw.text)["output"]
    assert explorer.responses.create(model="gpt-4o", input=again, store=False).status == "completed"


def test_only_ones_own_response_is_compacted(broker: RunningBroker, explorer: openai.OpenAI) -> None:
    made = explorer.responses.create(model="gpt-4o", input="to be compacted")
    assert explorer.responses.compact(model="gpt-4o", previous_response_id=made.id).id
    with pytest.raises(openai.NotFoundError):
        explorer.responses.compact(model="gpt-4o", previous_response_id="resp_of_nobody")


def test_compacting_is_a_right_of_its_own(broker: RunningBroker) -> None:
    reply: httpx.Response = ask(broker, "assistant", RESPONSE, "/v1/responses/compact")
    assert (reply.status_code, reply.json()["error"]["rule"]) == (403, "token.scope")  # no token has it


@pytest.mark.parametrize("body", [{"input": "x"}, {"model": 3}, {"model": "gpt-4o", "input": 3}], ids=str)
def test_a_malformed_compaction_is_refused(broker: RunningBroker, body: dict[str, Any]) -> None:
    assert ask(broker, "explorer", body, "/v1/responses/compact").status_code == 400
