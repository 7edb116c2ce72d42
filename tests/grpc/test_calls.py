"""OpenAIService over the wire: what reaches the pipeline, and what reaches the caller."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import orjson
import pytest

from broker.call.inbound import InboundCall
from broker.errors import BrokerError, Kind
from broker.gen.broker.v1 import openai_pb2 as pb
from broker.gen.broker.v1.chat_pb2 import ChatContent, ChatMessage
from broker.gen.broker.v1.common_pb2 import ROLE_USER, TextInput, TokenList
from broker.gen.broker.v1.parts_pb2 import ModerationInput
from broker.gen.broker.v1.responses_pb2 import ResponseInput
from broker.model.call import Call, Reply
from broker.model.operation import Operation
from tests.grpc.conftest import GrpcSetup, raw_rpc
from tests.grpc.fakes import Stream, answer

CHAT = pb.CreateChatCompletionRequest(
    model="gpt-4o", messages=[ChatMessage(role=ROLE_USER, content=ChatContent(text="hi"))], temperature=0
)
EMBEDDING = pb.CreateEmbeddingsRequest(model="m", input=TextInput(tokens=TokenList(items=[1])))
MODERATION = pb.CreateModerationRequest(input=ModerationInput(text="x"))
COMPLETION = pb.CreateCompletionRequest(model="m", prompt=TextInput(text="p"))
RESPONSE = pb.CreateResponseRequest(model="m", input=ResponseInput(text="x"))
AUTHORIZED = (("authorization", "Bearer tok"),)


async def _refused(call: grpc.aio.Call) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    return caught.value


async def test_a_chat_reaches_the_pipeline_as_openai_documents_it(scene: GrpcSetup) -> None:
    scene.dependencies.answering = answer(
        b'{"id":"c1","choices":[{"index":0,"message":{"content":"yo"}}],"x":1}'
    )
    metadata = (*AUTHORIZED, ("idempotency-key", "k1"), ("x-stainless-lang", "py"), ("cookie", "c"))
    call = scene.openai.CreateChatCompletion(CHAT, metadata=metadata)
    reply = await call
    assert reply.choices[0].message.content.text == "yo"
    assert reply.extra["x"] == 1
    inbound, sent = scene.dependencies.inbounds[0], scene.dependencies.calls[0]
    assert (inbound.bearer, inbound.context.transport, inbound.operation) == ("tok", "grpc", Operation.CHAT)
    assert inbound.context.peer.spiffe_id == "spiffe://test.broker/ns/demo/sa/assistant"
    assert (sent.method, sent.path, sent.model) == ("POST", "/v1/chat/completions", "gpt-4o")
    expected = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.0}
    assert orjson.loads(sent.body) == sent.document == expected
    assert sent.headers == (("idempotency-key", "k1"), ("x-stainless-lang", "py"))
    trailers = dict(await call.trailing_metadata())
    assert trailers["x-broker-call-id"] == inbound.context.call_id
    assert trailers["x-request-id"] == "req_1"
    assert trailers["x-ratelimit-limit-requests"] == "9"
    assert "content-type" not in trailers


@pytest.mark.parametrize(
    ("rpc", "request_message", "path", "body"),
    [
        ("CreateCompletion", pb.CreateCompletionRequest(model="m"), "/v1/completions", b'{"model":"m"}'),
        ("CreateEdit", pb.CreateEditRequest(model="m", instruction="i"), "/v1/edits",
         b'{"model":"m","instruction":"i"}'),
        ("CreateEmbeddings", EMBEDDING, "/v1/embeddings", b'{"model":"m","input":[1]}'),
        ("CreateModeration", MODERATION, "/v1/moderations", b'{"input":"x"}'),
        ("CreateResponse", RESPONSE, "/v1/responses", b'{"model":"m","input":"x"}'),
        ("ListModels", pb.ListModelsRequest(), "/v1/models", b""),
        ("GetModel", pb.GetModelRequest(model="ft:gpt-4o:a/b c"), "/v1/models/ft:gpt-4o:a%2Fb%20c", b""),
    ],
)  # fmt: skip
async def test_every_operation_has_its_path(
    scene: GrpcSetup, rpc: str, request_message: object, path: str, body: bytes
) -> None:
    scene.dependencies.answering = answer(b'{"id":"r1","object":"o"}')
    reply = await getattr(scene.openai, rpc)(request_message)
    assert (scene.dependencies.calls[0].path, scene.dependencies.calls[0].body) == (path, body)
    assert b"r1" in reply.SerializeToString() or reply.object == "o"


@pytest.mark.parametrize("model", ["..", ".", "", "a\nb"])
async def test_a_model_name_cannot_climb_to_another_path(scene: GrpcSetup, model: str) -> None:
    error = await _refused(scene.openai.GetModel(pb.GetModelRequest(model=model)))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not scene.dependencies.calls


async def test_a_stream_arrives_event_by_event(scene: GrpcSetup) -> None:
    stream = scene.dependencies.answering = Stream(
        [b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n', b": keep-alive\n\n",
         b'event: x\nid: 1\n\n', b'data: {"id":"c","choices":[],"usage":{"total_tokens":2}}\n\n',
         b"data: [DONE]\n\n"]
    )  # fmt: skip
    call = scene.openai.StreamChatCompletion(pb.StreamChatCompletionRequest(request=CHAT))
    chunks = [chunk async for chunk in call]
    assert [len(chunk.choices) for chunk in chunks] == [1, 0]
    assert chunks[1].usage.total_tokens == 2
    assert scene.dependencies.calls[0].stream
    assert dict(await call.initial_metadata())["x-broker-call-id"] == "call_1"
    assert dict(await call.trailing_metadata())["x-request-id"] == "req_2"
    assert stream.closed.is_set()


async def test_response_events_keep_their_type(scene: GrpcSetup) -> None:
    scene.dependencies.answering = Stream(
        [b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"a"}\n\n',
         b'event: error\ndata: {"type":"error","code":"x","message":"m"}\n\n']
    )  # fmt: skip
    request = pb.StreamResponseRequest(request=RESPONSE)
    events = [event async for event in scene.openai.StreamResponse(request)]
    assert [event.type for event in events] == ["response.output_text.delta", "error"]


async def test_completions_stream_too(scene: GrpcSetup) -> None:
    scene.dependencies.answering = Stream(
        [b'data: {"choices":[{"text":"a","index":0}]}\n\n', b"data: [DONE]\n\n"]
    )
    request = pb.StreamCompletionRequest(request=COMPLETION)
    assert [event.choices[0].text async for event in scene.openai.StreamCompletion(request)] == ["a"]


async def test_an_interrupted_stream_looks_interrupted(scene: GrpcSetup) -> None:
    failure = BrokerError(Kind.UPSTREAM_INTERRUPTED, "It broke.", details={"bytes_delivered": "9"})
    scene.dependencies.answering = Stream([b'data: {"id":"c"}\n\n'], failure)
    call = scene.openai.StreamChatCompletion(pb.StreamChatCompletionRequest(request=CHAT))
    first = await call.read()
    assert isinstance(first, pb.StreamChatCompletionResponse)
    assert first.id == "c"
    error = await _refused(call.read())  # type: ignore[arg-type]
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    trailers = dict(error.trailing_metadata())
    assert trailers["x-broker-call-id"] == "call_1"
    assert b"UPSTREAM_INTERRUPTED" in trailers["grpc-status-details-bin"]


async def test_an_error_event_in_a_stream_ends_it_with_a_status(scene: GrpcSetup) -> None:
    event = b'data: {"error":{"message":"Overloaded.","type":"server_error"}}\n\n'
    stream = scene.dependencies.answering = Stream([event])
    error = await _refused(
        scene.openai.StreamChatCompletion(pb.StreamChatCompletionRequest(request=CHAT)).read()  # type: ignore[arg-type]
    )
    assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "Overloaded.")
    assert stream.closed.is_set()


async def test_a_caller_that_leaves_ends_the_call(scene: GrpcSetup) -> None:
    stream = scene.dependencies.answering = Stream([b'data: {"id":"c"}\n\n'], waits=True)
    call = scene.openai.StreamChatCompletion(pb.StreamChatCompletionRequest(request=CHAT))
    await call.read()
    call.cancel()
    await asyncio.wait_for(stream.closed.wait(), 2)
    assert not scene.dependencies.defects


async def test_a_caller_that_leaves_a_flood_ends_the_call(scene: GrpcSetup) -> None:
    flood = b'data: {"id":"' + b"c" * 60_000 + b'"}\n\n'
    stream = scene.dependencies.answering = Stream([flood] * 2000)
    call = scene.openai.StreamChatCompletion(pb.StreamChatCompletionRequest(request=CHAT))
    await call.read()  # the window fills: the server waits in write, not in the iterator
    await asyncio.sleep(0.05)
    assert not stream.closed.is_set()
    call.cancel()
    await asyncio.wait_for(stream.closed.wait(), 2)


async def test_a_deadline_ends_the_call(scene: GrpcSetup) -> None:
    left = asyncio.Event()

    async def slow(_inbound: InboundCall, _call: Call) -> Reply:
        try:
            await asyncio.sleep(30)
        finally:
            left.set()
        raise AssertionError("the deadline did not come")

    scene.dependencies.answering = slow
    error = await _refused(scene.openai.CreateChatCompletion(CHAT, timeout=0.2))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(left.wait(), 2)


async def test_a_call_without_a_deadline_gets_one(scene: GrpcSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.listeners.grpc.middleware.MAX_SECONDS", 0.1)
    scene.dependencies.answering = Stream([], waits=True)
    error = await _refused(
        scene.openai.StreamChatCompletion(pb.StreamChatCompletionRequest(request=CHAT)).read()  # type: ignore[arg-type]
    )
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert not scene.dependencies.defects


async def test_upstreams_error_is_a_status_in_its_own_words(scene: GrpcSetup) -> None:
    scene.dependencies.answering = answer(b'{"error":{"message":"Too fast.","type":"requests"}}', 429)
    error = await _refused(scene.openai.CreateChatCompletion(CHAT))
    assert (error.code(), error.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "Too fast.")
    assert dict(error.trailing_metadata())["x-ratelimit-limit-requests"] == "9"


async def test_our_own_refusal_is_rendered_by_the_table(scene: GrpcSetup) -> None:
    async def deny(_inbound: InboundCall, _call: Call) -> Reply:
        raise BrokerError(Kind.POLICY_DENIED, "Not allowed.", rule="calls.deny", remedy="Ask.")

    scene.dependencies.answering = deny
    error = await _refused(scene.openai.CreateChatCompletion(CHAT))
    assert (error.code(), error.details()) == (grpc.StatusCode.PERMISSION_DENIED, "Not allowed. Ask.")
    assert dict(error.trailing_metadata())["x-broker-call-id"] == "call_1"


async def test_the_text_of_a_defect_never_leaves(scene: GrpcSetup) -> None:
    async def fail(_inbound: InboundCall, _call: Call) -> Reply:
        raise ValueError("canary-prompt-text")

    scene.dependencies.answering = fail
    error = await _refused(scene.openai.CreateChatCompletion(CHAT))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "canary" not in repr(error)
    assert [call_id for call_id, _ in scene.dependencies.defects] == ["call_1"]


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b""])
async def test_a_reply_that_is_no_document_is_no_answer(scene: GrpcSetup, body: bytes) -> None:
    scene.dependencies.answering = answer(body)
    error = await _refused(scene.openai.CreateChatCompletion(CHAT))
    assert error.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_malformed_message_is_a_bad_request_of_an_authenticated_caller(scene: GrpcSetup) -> None:
    rpc = raw_rpc(scene.channel, "/broker.v1.OpenAIService/CreateChatCompletion")
    error = await _refused(rpc(b"\xff\xff\xff\xff"))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert len(scene.dependencies.inbounds) == 1  # the pipeline saw it first, so that a record can be made


async def test_a_field_of_a_newer_schema_is_not_dropped_in_silence(scene: GrpcSetup) -> None:
    rpc = raw_rpc(scene.channel, "/broker.v1.OpenAIService/CreateChatCompletion")
    unknown = b"\xba\x3e\x01x"  # field 999
    error = await _refused(rpc(CHAT.SerializeToString() + unknown))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not scene.dependencies.calls


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": 3}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"messages": [{"role": 0, "content": {"text": "x"}}]}, "messages[0].role"),
        ({"extra": {"base_url": "http://evil"}}, "base_url"),
        ({"extra": {"model": "other"}}, "body"),
        ({"stream": True}, "stream"),
    ],
)
async def test_bad_input_is_named(scene: GrpcSetup, fields: dict[str, object], param: str) -> None:
    request = pb.CreateChatCompletionRequest(
        **{"model": "gpt-4o", "messages": [{"role": 2, "content": {"text": "hi"}}], **fields}  # type: ignore[arg-type]
    )
    error = await _refused(scene.openai.CreateChatCompletion(request))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert f"'{param}'" in str(error.details())
    assert not scene.dependencies.calls


async def test_a_stream_rpc_cannot_be_turned_into_a_unary_call(scene: GrpcSetup) -> None:
    request = pb.StreamChatCompletionRequest(request=pb.CreateChatCompletionRequest(stream=False))
    error = await _refused(scene.openai.StreamChatCompletion(request).read())  # type: ignore[arg-type]
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not scene.dependencies.calls


async def test_two_tokens_in_one_call_are_refused(scene: GrpcSetup) -> None:
    metadata = (*AUTHORIZED, ("authorization", "Bearer other"))
    error = await _refused(scene.openai.CreateChatCompletion(CHAT, metadata=metadata))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not scene.dependencies.inbounds


async def test_inbound_calls_and_contexts_show_no_content(scene: GrpcSetup) -> None:
    scene.dependencies.answering = answer(b"{}")
    request = pb.CreateEditRequest(model="m", instruction="canary-instruction")
    await scene.openai.CreateEdit(request)
    assert "canary" not in repr(scene.dependencies.inbounds[0])
