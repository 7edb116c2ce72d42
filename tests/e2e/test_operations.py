"""The unmodified OpenAI SDK through the broker: every operation of the route table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from tests.e2e.raw import bearer, nothing_reaches_upstream, records
from tests.running import RunningBroker

FINE_TUNED = "ft:gpt-4o-mini-2024-07-18:simulated::ab12cd34"
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def sdk(broker: RunningBroker, identity: str) -> openai.OpenAI:
    """The SDK with a base URL, a token and a client certificate: nothing else differs from OpenAI."""
    client: Any = httpx.Client(verify=broker.tls(identity), timeout=30)
    return openai.OpenAI(
        base_url=f"{broker.https}/v1", api_key=broker.token(identity), http_client=client, max_retries=0
    )


@pytest.fixture(scope="module")
def explorer(broker: RunningBroker) -> Iterator[openai.OpenAI]:
    with sdk(broker, "explorer") as client:
        yield client


@pytest.fixture(scope="module")
def assistant(broker: RunningBroker) -> Iterator[openai.OpenAI]:
    with sdk(broker, "assistant") as client:
        yield client


@pytest.fixture(params=["explorer", "assistant"])
def anybody(request: pytest.FixtureRequest) -> openai.OpenAI:
    """Both identities that may chat, embed and moderate."""
    client: openai.OpenAI = request.getfixturevalue(request.param)
    return client


def user(text: str) -> Any:
    return [{"role": "user", "content": text}]


def test_chat(anybody: openai.OpenAI) -> None:
    reply = anybody.chat.completions.create(model="gpt-4o", messages=user("Grüße, 世界"), n=3)
    assert [choice.index for choice in reply.choices] == [0, 1, 2]
    assert "Grüße" in (reply.choices[0].message.content or "")
    assert reply.usage is not None
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


def test_chat_with_tools(anybody: openai.OpenAI) -> None:
    tools: Any = [WEATHER]
    reply = anybody.chat.completions.create(
        model="gpt-4o", messages=user("Oslo?"), tools=tools, tool_choice="required"
    )
    calls: Any = reply.choices[0].message.tool_calls
    assert calls[0].function.name == "weather"
    answered: Any = [
        *user("Oslo?"),
        reply.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": calls[0].id, "content": "rain"},
    ]
    assert anybody.chat.completions.create(model="gpt-4o", messages=answered, tools=tools).choices


def test_chat_stream(anybody: openai.OpenAI) -> None:
    stream = anybody.chat.completions.create(
        model="gpt-4o-mini", messages=user("count"), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text.startswith("Echo: ")
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None


def test_chat_stream_of_tool_calls(explorer: openai.OpenAI) -> None:
    tools: Any = [WEATHER]
    stream = explorer.chat.completions.create(
        model="gpt-4o", messages=user("Oslo?"), tools=tools, tool_choice="required", stream=True
    )
    deltas = [call for chunk in stream for call in chunk.choices[0].delta.tool_calls or []]
    arguments = "".join(call.function.arguments or "" for call in deltas if call.function)
    assert arguments.startswith("{")
    assert arguments.endswith("}")


def test_completions(anybody: openai.OpenAI) -> None:
    reply = anybody.completions.create(model="gpt-4o-mini", prompt=["one", "two"], max_tokens=5)
    assert len(reply.choices) == 2
    tokens = anybody.completions.create(model="gpt-4o-mini", prompt=[9906, 1917])
    assert tokens.choices[0].text


def test_completions_stream(anybody: openai.OpenAI) -> None:
    stream = anybody.completions.create(model="gpt-4o-mini", prompt="one", stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream if chunk.choices)


def test_embeddings(anybody: openai.OpenAI) -> None:
    model = "text-embedding-3-small"
    floats = anybody.embeddings.create(model=model, input=["a", "b"], encoding_format="float", dimensions=64)
    assert [len(entry.embedding) for entry in floats.data] == [64, 64]
    coded = anybody.embeddings.create(model=model, input=["a", "b"], encoding_format="base64", dimensions=64)
    assert isinstance(coded.data[0].embedding, str)
    tokens = anybody.embeddings.create(model=model, input=[[9906, 1917], [1]], dimensions=64)
    assert len(tokens.data) == 2


def test_moderations(anybody: openai.OpenAI) -> None:
    assert anybody.moderations.create(input="a lovely day").results[0].flagged is False
    named = anybody.moderations.create(model="omni-moderation-latest", input=["a", "b"])
    assert len(named.results) == 2


def test_responses(anybody: openai.OpenAI) -> None:
    reply = anybody.responses.create(model="gpt-4o", input="hello", instructions="Be brief.", store=False)
    assert reply.status == "completed"
    assert reply.output_text


def test_responses_stream(anybody: openai.OpenAI) -> None:
    events: Any = list(anybody.responses.create(model="gpt-4o", input="hello", stream=True))
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert events[-1].response.output_text == text


def test_stored_responses(explorer: openai.OpenAI) -> None:
    made = explorer.responses.create(model="gpt-4o", input="keep this", store=True)
    assert explorer.responses.retrieve(made.id).output_text == made.output_text
    (item,) = explorer.responses.input_items.list(made.id).data
    assert "keep this" in item.model_dump_json()
    background = explorer.responses.create(model="gpt-4o", input="later", store=True, background=True)
    assert explorer.responses.cancel(background.id).status == "cancelled"
    explorer.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        explorer.responses.retrieve(made.id)


def test_input_tokens(explorer: openai.OpenAI) -> None:
    assert explorer.responses.input_tokens.count(model="gpt-4o", input="how many").input_tokens > 0


def test_stored_chats(explorer: openai.OpenAI) -> None:
    label = {"suite": "stored-chats"}
    made = explorer.chat.completions.create(
        model="gpt-4o", messages=user("keep this"), store=True, metadata=label
    )
    assert made.id in [chat.id for chat in explorer.chat.completions.list(metadata=label)]
    assert explorer.chat.completions.retrieve(made.id).choices == made.choices
    changed = explorer.chat.completions.update(made.id, metadata={"suite": "changed"})
    assert changed.metadata == {"suite": "changed"}
    (message,) = explorer.chat.completions.messages.list(made.id).data
    assert message.content == "keep this"
    assert explorer.chat.completions.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        explorer.chat.completions.retrieve(made.id)


def test_models(explorer: openai.OpenAI, assistant: openai.OpenAI) -> None:
    everything = [model.id for model in explorer.models.list()]
    assert {"gpt-4o", "gpt-4.1", "text-embedding-ada-002", FINE_TUNED} <= set(everything)
    seen = {model.id for model in assistant.models.list()}
    allowed = {"gpt-4o", "gpt-4o-mini", "omni-moderation-latest"}
    assert seen == allowed | {"text-embedding-3-large", "text-embedding-3-small"}
    assert assistant.models.retrieve("gpt-4o").id == "gpt-4o"
    assert explorer.models.retrieve(FINE_TUNED).owned_by == "simulated"


def test_model_delete(explorer: openai.OpenAI) -> None:
    name = "ft:gpt-4o-mini-2024-07-18:simulated::deleted"
    assert explorer.models.delete(name).deleted
    with pytest.raises(openai.NotFoundError):
        explorer.models.retrieve(name)


@pytest.mark.parametrize("identity", ["explorer", "assistant"])
def test_edits(broker: RunningBroker, identity: str) -> None:
    body = {"model": "text-davinci-edit-001", "input": "helo", "instruction": "Fix it", "n": 2}
    with broker.http(identity) as client:
        reply = client.post("/v1/edits", json=body, headers=bearer(broker, identity))
    said = reply.json()
    assert (reply.status_code, said["object"]) == (200, "edit")
    assert [choice["index"] for choice in said["choices"]] == [0, 1]
    assert set(said["choices"][0]) == {"text", "index"}
    assert "helo" in said["choices"][0]["text"]
    assert said["usage"]["total_tokens"] > 0


DENIED: dict[str, Any] = {
    "another model": lambda sdk: sdk.chat.completions.create(model="o3", messages=user("x")),
    "a dated model": lambda sdk: sdk.models.retrieve("gpt-4o-2024-08-06"),
    "model delete": lambda sdk: sdk.models.delete("gpt-4o"),
    "stored chats": lambda sdk: sdk.chat.completions.list(),
    "a stored chat": lambda sdk: sdk.chat.completions.retrieve("chatcmpl_1"),
    "chat update": lambda sdk: sdk.chat.completions.update("chatcmpl_1", metadata={}),
    "chat delete": lambda sdk: sdk.chat.completions.delete("chatcmpl_1"),
    "chat messages": lambda sdk: sdk.chat.completions.messages.list("chatcmpl_1"),
    "a stored response": lambda sdk: sdk.responses.retrieve("resp_1"),
    "response delete": lambda sdk: sdk.responses.delete("resp_1"),
    "response cancel": lambda sdk: sdk.responses.cancel("resp_1"),
    "input items": lambda sdk: sdk.responses.input_items.list("resp_1"),
    "input tokens": lambda sdk: sdk.responses.input_tokens.count(model="gpt-4o", input="x"),
}


@pytest.mark.parametrize("name", DENIED)
def test_what_policy_does_not_grant_is_403(
    assistant: openai.OpenAI, broker: RunningBroker, name: str
) -> None:
    with nothing_reaches_upstream(broker), pytest.raises(openai.PermissionDeniedError) as caught:
        DENIED[name](assistant)
    assert caught.value.code == "policy_denied"
    (record,) = records(broker, caught.value.response.headers["x-broker-call-id"])
    assert (record["type"], record["decision"], record["reason"]) == ("denied", "deny", "POLICY_DENIED")
