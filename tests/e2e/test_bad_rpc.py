"""Hostile messages at the gRPC listener: the error table's answer, a `denied` record, no trace of what
came.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from broker.gen.broker.v1 import chat_pb2, common_pb2, openai_pb2, token_pb2
from tests.e2e.raw import (
    CANARY,
    Refused,
    assert_unwritten,
    bearer,
    channel,
    nothing_reaches_upstream,
    records,
    refusal,
)
from tests.running import RunningBroker

SERVICE = "/broker.v1.OpenAIService/"
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def opened(broker: RunningBroker) -> Iterator[grpc.Channel]:
    """One channel of the explorer; it would let messages of any size leave."""
    unbounded = [("grpc.max_send_message_length", -1)]
    with channel(broker, "explorer", options=unbounded) as opened:
        yield opened


def chat(**fields: object) -> openai_pb2.CreateChatCompletionRequest:
    """A chat request that would be fine but for `fields`."""
    said = chat_pb2.ChatMessage(role=common_pb2.ROLE_USER, content=chat_pb2.ChatContent(text=CANARY))
    return openai_pb2.CreateChatCompletionRequest(**{"model": "gpt-4o", "messages": [said], **fields})  # type: ignore[arg-type]


def said_by(role: int) -> chat_pb2.ChatMessage:
    message = chat_pb2.ChatMessage(content=chat_pb2.ChatContent(text=CANARY))
    message.role = role  # type: ignore[assignment]
    return message


def extra(**members: float | str) -> openai_pb2.CreateChatCompletionRequest:
    request = chat()
    request.extra.update(members)
    return request


def nested(depth: int) -> bytes:
    """Field 100 (`extra`) around `depth` lists in lists, written by hand: no writer goes this deep."""
    parts: list[bytes] = []
    size = 0
    for level in range(depth):
        tag = b"\x0a" if level % 2 else b"\x32"  # ListValue.values, Value.list_value
        head = tag + _varint(size)
        parts.append(head)
        size += len(head)
    entry = b"\x0a\x01x\x12" + _varint(size) + b"".join(reversed(parts))
    struct = b"\x0a" + _varint(len(entry)) + entry
    return b"\xa2\x06" + _varint(len(struct)) + struct


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


WRONG = {
    "temperature 3": (chat(temperature=3), "temperature"),
    "temperature NaN": (chat(temperature=math.nan), "temperature"),
    "infinite penalty": (chat(presence_penalty=math.inf), "presence_penalty"),
    "negative max_tokens": (chat(max_tokens=-1), "max_tokens"),
    "n 0": (chat(n=0), "n"),
    "unknown role": (chat(messages=[said_by(99)]), "messages[0].role"),
    "no role": (chat(messages=[said_by(0)]), "messages[0].role"),
    "no messages": (chat(messages=[]), "messages"),
    "no model": (chat(model=None), "model"),
    "empty model": (chat(model=""), "model"),
    "five stops": (chat(stop=common_pb2.Stop(texts=common_pb2.StringList(items=[CANARY] * 5))), "stop"),
    "nothing in a union": (chat(stop=common_pb2.Stop()), "stop"),
    "logit_bias 200": (chat(logit_bias={CANARY: 200}), "logit_bias"),
    "stream in a unary RPC": (chat(stream=True), "stream"),
    "NaN in extra": (extra(x=math.nan), "body"),
    "a field twice": (extra(model=CANARY), "body"),
    "wrong type in extra": (extra(service_tier=3), "service_tier"),
    "base_url": (extra(base_url=f"https://{CANARY}"), "base_url"),
    "api_key": (chat(extra_json={"api_key": f'"{CANARY}"'}), "api_key"),
    "malformed extra_json": (chat(extra_json={CANARY: f'{{"{CANARY}'}), "body"),
    "duplicate key in extra_json": (chat(extra_json={CANARY: '{"a":1,"a":2}'}), "body"),
    "100 k nesting in extra_json": (chat(extra_json={CANARY: "[" * 100_000}), "body"),
}

UNREADABLE = {
    "no message": b"\xff" + CANARY.encode(),
    "invalid UTF-8": b"\x0a\x04\xff\xfe\xfd\xfc" + chat().SerializeToString(),
    "a field nobody knows": chat().SerializeToString()
    + b"\xfa\x3f\x10"
    + CANARY.encode().ljust(16, b"-")[:16],
    "100 k nesting": chat().SerializeToString() + nested(100_000),
    "cut off": chat().SerializeToString()[:-3],
}


def raw(opened: grpc.Channel, rpc: str) -> Any:
    """A unary RPC of bytes: no stub stands between what is sent and what is read."""
    return opened.unary_unary(rpc)


def refused(
    opened: grpc.Channel, broker: RunningBroker, body: bytes, rpc: str = "CreateChatCompletion"
) -> Refused:
    """Sends bytes as a unary request; how the RPC was refused."""
    with pytest.raises(grpc.RpcError) as caught:
        raw(opened, SERVICE + rpc)(body, metadata=tuple(bearer(broker, "explorer").items()), timeout=30)
    return refusal(caught.value)


def assert_denied(broker: RunningBroker, answer: Refused, param: str) -> None:
    """INVALID_ARGUMENT naming the field, one `denied` record, nothing of the request anywhere."""
    assert (answer.code, answer.reason, answer.fields) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "BAD_REQUEST",
        (param,),
    )
    (record,) = records(broker, answer.trailers["x-broker-call-id"])
    assert (record["type"], record["decision"], record["error"]) == ("denied", "refuse", param)
    assert (record["transport"], record["reason"]) == ("grpc", "BAD_REQUEST")
    assert CANARY not in answer.message
    assert CANARY.encode() not in answer.trailers["grpc-status-details-bin"]
    assert_unwritten(broker)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_type_or_range_is_refused_by_its_parameter(
    opened: grpc.Channel, broker: RunningBroker, name: str
) -> None:
    request, param = WRONG[name]
    with nothing_reaches_upstream(broker):
        answer = refused(opened, broker, request.SerializeToString())
    assert_denied(broker, answer, param)


@pytest.mark.parametrize("name", UNREADABLE)
def test_unreadable_message_is_refused(opened: grpc.Channel, broker: RunningBroker, name: str) -> None:
    with nothing_reaches_upstream(broker):
        answer = refused(opened, broker, UNREADABLE[name])
    assert_denied(broker, answer, "body")


def test_20_mib_message_is_refused(opened: grpc.Channel, broker: RunningBroker) -> None:
    """grpc ends the call itself, before the broker knows who sent it: no record, and nothing is parsed."""
    with nothing_reaches_upstream(broker):
        answer = refused(opened, broker, chat(user=CANARY * (2 * MIB)).SerializeToString())
    assert answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert_unwritten(broker)


def test_compressed_message_is_refused(broker: RunningBroker) -> None:
    with (
        channel(broker, "explorer", compression=grpc.Compression.Gzip) as squeezing,
        nothing_reaches_upstream(broker),
    ):
        answer = refused(squeezing, broker, chat(user=CANARY * 1000).SerializeToString())
    assert answer.code is grpc.StatusCode.UNIMPLEMENTED
    assert_unwritten(broker)


def test_token_that_came_twice_is_refused(opened: grpc.Channel, broker: RunningBroker) -> None:
    metadata = (*bearer(broker, "explorer").items(), ("authorization", f"Bearer {CANARY}"))
    with nothing_reaches_upstream(broker), pytest.raises(grpc.RpcError) as caught:
        raw(opened, f"{SERVICE}ListModels")(b"", metadata=metadata, timeout=10)
    answer = refusal(caught.value)
    assert (answer.code, answer.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ("authorization",))
    assert records(broker, answer.trailers["x-broker-call-id"]) == []
    assert_unwritten(broker)


@pytest.mark.parametrize("model", ["..", ".", "../files", "gpt-4o/../../files", "./x", "x/..", ""])
def test_model_that_climbs_the_path_is_refused(
    opened: grpc.Channel, broker: RunningBroker, model: str
) -> None:
    body = openai_pb2.GetModelRequest(model=model).SerializeToString()
    with nothing_reaches_upstream(broker):
        answer = refused(opened, broker, body, "GetModel")
    assert_denied(broker, answer, "model")


def test_rpc_outside_the_table_is_unimplemented(opened: grpc.Channel, broker: RunningBroker) -> None:
    with nothing_reaches_upstream(broker):
        answer = refused(opened, broker, b"", "DeleteEverything")
    assert answer.code is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("ttl", [0, -5])
def test_malformed_wish_for_a_token_is_refused(opened: grpc.Channel, broker: RunningBroker, ttl: int) -> None:
    body = token_pb2.IssueTokenRequest(ttl_seconds=ttl).SerializeToString()
    with pytest.raises(grpc.RpcError) as caught:
        raw(opened, "/broker.v1.TokenService/IssueToken")(body, timeout=10)
    assert refusal(caught.value).fields == ("ttl_seconds",)
