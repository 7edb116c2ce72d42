"""Generated gRPC stubs through the broker: every RPC of OpenAIService, and upstream's errors and headers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from broker.gen.broker.v1 import chat_pb2, common_pb2, openai_pb2, openai_pb2_grpc
from broker.gen.broker.v1 import openai_pb2 as pb
from tests.e2e.raw import bearer, channel, nothing_reaches_upstream, records, refusal
from tests.running import RunningBroker

SEEN_BY_ASSISTANT = {
    "gpt-4o",
    "gpt-4o-mini",
    "omni-moderation-latest",
    "text-embedding-3-large",
    "text-embedding-3-small",
}


@dataclass(frozen=True)
class Visitor:
    """A stub, and the token of the identity whose certificate opened its channel."""

    stub: Any
    metadata: tuple[tuple[str, str], ...]

    def call(self, rpc: str, request: Any, **fault: str) -> tuple[Any, dict[str, Any]]:
        """One unary call: its reply and its trailers."""
        metadata = (*self.metadata, *(("x-sim-fault", value) for value in fault.values()))
        reply, call = getattr(self.stub, rpc).with_call(request, metadata=metadata, timeout=20)
        return reply, dict(call.trailing_metadata())

    def stream(self, rpc: str, request: Any) -> tuple[list[Any], dict[str, Any]]:
        """One streamed call: its messages and its trailers."""
        call = getattr(self.stub, rpc)(request, metadata=self.metadata, timeout=20)
        return list(call), dict(call.trailing_metadata())


def visitor(broker: RunningBroker, identity: str) -> Iterator[Visitor]:
    with channel(broker, identity) as opened:
        yield Visitor(openai_pb2_grpc.OpenAIServiceStub(opened), tuple(bearer(broker, identity).items()))


@pytest.fixture(scope="module")
def explorer(broker: RunningBroker) -> Iterator[Visitor]:
    yield from visitor(broker, "explorer")


@pytest.fixture(scope="module")
def assistant(broker: RunningBroker) -> Iterator[Visitor]:
    yield from visitor(broker, "assistant")


def chat(model: str = "gpt-4o", **fields: Any) -> pb.CreateChatCompletionRequest:
    said = chat_pb2.ChatMessage(role=common_pb2.ROLE_USER, content=chat_pb2.ChatContent(text="Grüße"))
    return pb.CreateChatCompletionRequest(model=model, messages=[said], **fields)


def text_input(text: str) -> common_pb2.TextInput:
    return common_pb2.TextInput(text=text)


UNARY: dict[str, tuple[Any, Callable[[Any], bool]]] = {
    "CreateChatCompletion": (chat(n=2), lambda reply: "Grüße" in reply.choices[1].message.content.text),
    "CreateCompletion": (
        pb.CreateCompletionRequest(model="gpt-4o", prompt=text_input("one")),
        lambda reply: bool(reply.choices[0].text),
    ),
    "CreateEdit": (
        pb.CreateEditRequest(model="text-davinci-edit-001", input="helo", instruction="Fix it"),
        lambda reply: reply.object == "edit" and "helo" in reply.choices[0].text,
    ),
    "CreateEmbeddings": (
        pb.CreateEmbeddingsRequest(
            model="text-embedding-3-small",
            dimensions=64,
            input=common_pb2.TextInput(tokens=common_pb2.TokenList(items=[9906, 1917])),
        ),
        lambda reply: len(reply.data) == 1 and reply.usage.prompt_tokens == 2,
    ),
    "CreateModeration": (
        pb.CreateModerationRequest(extra_json={"input": '["a lovely day"]'}),
        lambda reply: reply.results[0].flagged is False,
    ),
    "CreateResponse": (
        pb.CreateResponseRequest(model="gpt-4o", extra_json={"input": '"hello"'}),
        lambda reply: reply.response.status == "completed",
    ),
    "ListModels": (pb.ListModelsRequest(), lambda reply: "gpt-4o" in {model.id for model in reply.data}),
    "GetModel": (pb.GetModelRequest(model="gpt-4o"), lambda reply: bool(reply.SerializeToString())),
}
STREAMS: dict[str, Any] = {
    "StreamChatCompletion": pb.StreamChatCompletionRequest(
        request=chat(stream_options=common_pb2.StreamOptions(include_usage=True))
    ),
    "StreamCompletion": pb.StreamCompletionRequest(
        request=pb.CreateCompletionRequest(model="gpt-4o", prompt=text_input("one"))
    ),
    "StreamResponse": pb.StreamResponseRequest(
        request=pb.CreateResponseRequest(model="gpt-4o", extra_json={"input": '"hello"'})
    ),
}


def test_no_rpc_is_forgotten() -> None:
    service = openai_pb2.DESCRIPTOR.services_by_name["OpenAIService"]
    assert {method.name for method in service.methods} == UNARY.keys() | STREAMS.keys()


@pytest.mark.parametrize("identity", ["explorer", "assistant"])
@pytest.mark.parametrize("rpc", UNARY)
def test_unary(request: pytest.FixtureRequest, broker: RunningBroker, rpc: str, identity: str) -> None:
    message, holds = UNARY[rpc]
    reply, trailers = request.getfixturevalue(identity).call(rpc, message)
    assert holds(reply)
    assert trailers["x-request-id"].startswith("req_")
    assert {"openai-processing-ms", "x-ratelimit-remaining-requests"} <= trailers.keys()
    intent, outcome = records(broker, trailers["x-broker-call-id"])
    assert (intent["type"], intent["transport"], outcome["type"]) == ("intent", "grpc", "outcome")
    assert outcome["upstream_request_id"] == trailers["x-request-id"]


@pytest.mark.parametrize("identity", ["explorer", "assistant"])
@pytest.mark.parametrize("rpc", STREAMS)
def test_stream(request: pytest.FixtureRequest, broker: RunningBroker, rpc: str, identity: str) -> None:
    messages, trailers = request.getfixturevalue(identity).stream(rpc, STREAMS[rpc])
    assert len(messages) > 5
    intent, outcome = records(broker, trailers["x-broker-call-id"])
    assert (intent["stream"], outcome["type"], "error" in outcome) == (True, "outcome", False)
    assert outcome["upstream_request_id"] == trailers["x-request-id"]


def test_usage_chunk_without_choices_arrives(explorer: Visitor) -> None:
    messages, _ = explorer.stream("StreamChatCompletion", STREAMS["StreamChatCompletion"])
    assert len(messages[-1].choices) == 0
    assert messages[-1].usage.total_tokens > 0
    text = "".join(choice.delta.content.text for message in messages for choice in message.choices)
    assert text.startswith("Echo: Grüße")


def test_response_stream_ends_with_its_own_event(explorer: Visitor) -> None:
    messages, _ = explorer.stream("StreamResponse", STREAMS["StreamResponse"])
    assert (messages[0].type, messages[-1].type) == ("response.created", "response.completed")


def test_listing_shows_what_the_caller_may_use(explorer: Visitor, assistant: Visitor) -> None:
    everything, _ = explorer.call("ListModels", pb.ListModelsRequest())
    seen, _ = assistant.call("ListModels", pb.ListModelsRequest())
    assert {model.id for model in seen.data} == SEEN_BY_ASSISTANT
    assert {model.id for model in everything.data} > SEEN_BY_ASSISTANT


DENIED = {
    "another model": ("CreateChatCompletion", chat("o3")),
    "a model it may not see": ("GetModel", pb.GetModelRequest(model="gpt-4.1")),
    "an embedding model": (
        "CreateEmbeddings",
        pb.CreateEmbeddingsRequest(model="text-embedding-ada-002", input=text_input("x")),
    ),
}


@pytest.mark.parametrize("name", DENIED)
def test_what_policy_does_not_grant_is_denied(assistant: Visitor, broker: RunningBroker, name: str) -> None:
    with nothing_reaches_upstream(broker), pytest.raises(grpc.RpcError) as caught:
        assistant.call(*DENIED[name])
    answer = refusal(caught.value)
    assert (answer.code, answer.reason) == (grpc.StatusCode.PERMISSION_DENIED, "POLICY_DENIED")
    (record,) = records(broker, answer.trailers["x-broker-call-id"])
    assert (record["type"], record["decision"]) == ("denied", "deny")


UPSTREAM_ERRORS = {
    "moderation": (chat(), "moderation-400", grpc.StatusCode.INVALID_ARGUMENT, 400),
    "context": (chat(), "context-400", grpc.StatusCode.INVALID_ARGUMENT, 400),
    "unknown model": (chat("no-such-model"), "", grpc.StatusCode.NOT_FOUND, 404),
    "rate limit": (chat(), "429/retry-after-ms:0", grpc.StatusCode.RESOURCE_EXHAUSTED, 429),
}


@pytest.mark.parametrize("name", UPSTREAM_ERRORS)
def test_upstreams_own_error_keeps_its_words(explorer: Visitor, broker: RunningBroker, name: str) -> None:
    request, fault, code, status = UPSTREAM_ERRORS[name]
    with pytest.raises(grpc.RpcError) as caught:
        explorer.call("CreateChatCompletion", request, fault=fault)
    answer = refusal(caught.value)
    assert answer.code is code
    assert answer.message, "upstream's message is lost"
    assert answer.trailers["x-request-id"].startswith("req_")
    outcome = records(broker, answer.trailers["x-broker-call-id"])[-1]
    assert (outcome["type"], outcome["status"]) == ("outcome", status)
