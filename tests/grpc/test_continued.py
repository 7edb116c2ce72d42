"""What is sent of an event that only goes on with the one before is what would be made of it alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from broker.gen.broker.v1 import openai_pb2
from broker.listeners.grpc.codec import from_document
from broker.listeners.grpc.continued import ContinuedMessages

CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "usage": None}


def chat(text: str, noise: str) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
    return {**CHUNK, "service_tier": "default", "choices": [choice], "obfuscation": noise}


def completion(text: str, noise: str) -> dict[str, Any]:
    return {"id": "c", "choices": [{"text": text, "index": 0}], "system_fingerprint": noise, "new": [1]}


def response(text: str, noise: str) -> dict[str, Any]:
    known = {"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "content_index": 0}
    return {**known, "delta": text, "obfuscation": noise}


KINDS: dict[Callable[[str, str], dict[str, Any]], type[Message]] = {
    chat: openai_pb2.StreamChatCompletionResponse,
    completion: openai_pb2.StreamCompletionResponse,
    response: openai_pb2.StreamResponseResponse,
}


def event(document: object) -> bytes:
    return b"data: " + orjson.dumps(document) + b"\n\n"


def sent(messages: ContinuedMessages, kind: type[Message], document: dict[str, Any]) -> tuple[bytes, bool]:
    """What is sent of it, and whether it was parsed."""
    continued = messages.next(event(document))
    if continued is not None:
        return continued, False
    message = from_document(kind, document)
    messages.learn(event(document), document, message)
    return message.SerializeToString(), True


@pytest.mark.parametrize("make", KINDS)
@given(said=st.lists(st.tuples(st.text(), st.text()), min_size=2, max_size=6))
def test_each_message_is_that_of_its_event_alone(
    make: Callable[[str, str], dict[str, Any]], said: list[tuple[str, str]]
) -> None:
    messages, kind = ContinuedMessages(), KINDS[make]
    for text, noise in said:
        told, _ = sent(messages, kind, make(text, noise))
        assert kind.FromString(told) == from_document(kind, make(text, noise))


@pytest.mark.parametrize("make", KINDS)
def test_events_that_go_on_are_not_parsed(make: Callable[[str, str], dict[str, Any]]) -> None:
    messages, kind = ContinuedMessages(), KINDS[make]
    said = [("a", "x"), ("bc", "yz"), ("", "z"), ("a", "a"), ("é", "")]
    assert [sent(messages, kind, make(*each))[1] for each in said] == [True, False, False, False, False]


@pytest.mark.parametrize(
    "other",
    [
        {"usage": {"total_tokens": 1}},
        {"choices": [{"index": 1, "delta": {"content": "a"}}]},
        {"error": {"message": "no"}},
        {"sequence_number": 7},
    ],
    ids=str,
)
def test_an_event_that_tells_anything_else_is_parsed(other: dict[str, Any]) -> None:
    messages, kind = ContinuedMessages(), KINDS[chat]
    sent(messages, kind, chat("a", "x"))
    assert sent(messages, kind, {**chat("a", "x"), **other})[1]


def test_an_event_that_is_counted_is_parsed_each_time() -> None:
    messages, kind = ContinuedMessages(), KINDS[response]
    for number in range(3):
        assert sent(messages, kind, {**response("a", "x"), "sequence_number": number})[1]


def test_a_stream_whose_events_take_turns_learns_ever_fewer() -> None:
    """Each that is learned costs more than to parse one."""
    messages, kind = ContinuedMessages(), KINDS[chat]
    for number in range(100):
        sent(messages, kind, {**chat("a", "x"), "created": number})
    assert messages._learned < 10
