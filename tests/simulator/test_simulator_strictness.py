"""What OpenAI refuses the simulator refuses, in the same shape; and it tells what it received."""

from __future__ import annotations

import hashlib

import httpx
import pytest
from openai import AsyncOpenAI, AuthenticationError, BadRequestError

from broker.simulator import Simulator

CHAT = "/v1/chat/completions"
HELLO = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"temperature": 3}, "temperature", "decimal_above_max_value"),
        ({"temperature": "hot"}, "temperature", "invalid_type"),
        ({"top_p": -0.1}, "top_p", "decimal_below_min_value"),
        ({"n": 0}, "n", "integer_below_min_value"),
        ({"n": True}, "n", "invalid_type"),
        ({"max_tokens": -1}, "max_tokens", "integer_below_min_value"),
        ({"messages": None}, "messages", "missing_required_parameter"),
        ({"messages": []}, "messages", "empty_array"),
        ({"messages": "Hello"}, "messages", "invalid_type"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "invalid_type"),
        (
            {"messages": [{"role": "tool", "content": "x"}]},
            "messages[0].tool_call_id",
            "missing_required_parameter",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "smell"}]}]},
            "messages[0].content[0].type",
            "invalid_value",
        ),
        ({"stop": ["1", "2", "3", "4", "5"]}, "stop", "array_above_max_length"),
        ({"logit_bias": {"50256": 101}}, "logit_bias.50256", "decimal_above_max_value"),
        ({"metadata": {"a": "x" * 513}}, "metadata.a", "string_above_max_length"),
        ({"stream_options": {"include_usage": True}}, "stream_options", None),
        ({"tool_choice": "required"}, "tool_choice", None),
    ],
)
async def test_bad_chat_names_the_parameter(
    http: httpx.AsyncClient, change: dict[str, object], param: str, code: str | None
) -> None:
    reply = await http.post(CHAT, json=HELLO | change)
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/embeddings", {"model": "text-embedding-3-small"}, "input"),
        ("/v1/embeddings", {"model": "text-embedding-3-small", "input": ""}, "input"),
        ("/v1/embeddings", {"model": "text-embedding-3-small", "input": [1, "a"]}, "input[1]"),
        (
            "/v1/embeddings",
            {"model": "text-embedding-3-small", "input": "a", "dimensions": 3072},
            "dimensions",
        ),
        ("/v1/completions", {"model": "davinci-002", "prompt": {"a": 1}}, "prompt"),
        ("/v1/moderations", {"input": 7}, "input"),
        ("/v1/responses", {"model": "gpt-4o", "input": "a", "max_output_tokens": 3}, "max_output_tokens"),
    ],
)
async def test_other_bad_bodies_name_the_parameter(
    http: httpx.AsyncClient, path: str, body: dict[str, object], param: str
) -> None:
    reply = await http.post(path, json=body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize("body", [b"{", b'{"model": NaN}', b"[]", b"\xff", b'"text"'])
async def test_bad_json_is_refused(http: httpx.AsyncClient, body: bytes) -> None:
    reply = await http.post(CHAT, content=body, headers={"content-type": "application/json"})
    assert reply.status_code == 400
    assert "could not parse the JSON body" in reply.json()["error"]["message"]


async def test_other_content_types_are_refused(http: httpx.AsyncClient) -> None:
    reply = await http.post(CHAT, content=b"hello", headers={"content-type": "text/plain"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "unsupported_content_type")


async def test_unknown_fields_and_nulls_are_let_through(http: httpx.AsyncClient) -> None:
    reply = await http.post(CHAT, json=HELLO | {"temperature": None, "invented_in_2027": {"a": 1}})
    assert reply.status_code == 200


async def test_wrong_key_is_refused_and_partly_echoed(simulator: Simulator) -> None:
    async with AsyncOpenAI(base_url=simulator.url + "/v1", api_key="sk-abcdefghijklmnopqrstuvwxyz") as client:
        with pytest.raises(AuthenticationError) as caught:
            await client.models.list()
    assert "Incorrect API key provided: sk-ab***wxyz." in str(caught.value)
    assert caught.value.code == "invalid_api_key"
    assert simulator.received[0].key_last4 == "wxyz"


@pytest.mark.parametrize("authorization", ["", "Basic YTpi", "Bearer"])
async def test_missing_key_is_refused(http: httpx.AsyncClient, authorization: str) -> None:
    reply = await http.get("/v1/models", headers={"authorization": authorization})
    assert reply.status_code == 401
    assert "didn't provide an API key" in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/v1/edits", 404), ("GET", "/v1/nothing", 404), ("GET", "/v1/embeddings", 405)],
)
async def test_unknown_routes(http: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    reply = await http.request(method, path)
    assert reply.status_code == status
    assert f"{method}" in reply.json()["error"]["message"]
    assert path in reply.json()["error"]["message"]


async def test_unknown_model_is_not_found(sdk: AsyncOpenAI, http: httpx.AsyncClient) -> None:
    reply = await http.post(CHAT, json=HELLO | {"model": "claude-9"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "model_not_found")
    with pytest.raises(BadRequestError, match="you must provide a model parameter"):
        await sdk.chat.completions.create(model="", messages=[{"role": "user", "content": "x"}])


async def test_replies_have_openai_headers(http: httpx.AsyncClient) -> None:
    headers = (await http.post(CHAT, json=HELLO)).headers
    assert headers["x-request-id"].startswith("req_")
    assert headers["openai-version"] == "2020-10-01"
    assert headers["openai-processing-ms"].isdigit()
    for kind in ("requests", "tokens"):
        for what in ("limit", "remaining", "reset"):
            assert headers[f"x-ratelimit-{what}-{kind}"]


async def test_it_tells_what_it_received(simulator: Simulator, http: httpx.AsyncClient) -> None:
    sent = http.build_request("POST", CHAT + "?a=%20b", json=HELLO, headers={"x-broker-call-id": "call-1"})
    reply = await http.send(sent)
    (entry,) = simulator.received
    assert (entry.method, entry.path) == ("POST", CHAT + "?a=%20b")
    assert entry.body_sha256 == hashlib.sha256(sent.content).hexdigest()
    assert entry.request_id == reply.headers["x-request-id"]
    assert entry.headers["x-broker-call-id"] == "call-1"
    told = (await http.get("/sim/received")).json()
    assert told == {"count": 1, "open_replies": 0, "entries": [entry.as_document()]}


async def test_key_is_kept_nowhere(simulator: Simulator, http: httpx.AsyncClient) -> None:
    await http.post(CHAT, json=HELLO)
    assert simulator.key not in (await http.get("/sim/received")).text
    assert simulator.key not in repr(simulator.received)
    assert simulator.received[0].key_last4 == simulator.key[-4:]


async def test_reset_forgets(simulator: Simulator, http: httpx.AsyncClient) -> None:
    made = (await http.post(CHAT, json=HELLO | {"store": True})).json()
    assert (await http.get(f"{CHAT}/{made['id']}")).status_code == 200
    await http.post("/sim/reset")
    assert simulator.count == 0
    assert (await http.get(f"{CHAT}/{made['id']}")).status_code == 404
    assert (await http.get("/sim/received?entries=0")).json() == {"count": 1, "open_replies": 0}
