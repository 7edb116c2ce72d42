"""Fields of a message are counted on the wire, before anything is made of them."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from broker.gen.broker.v1 import openai_pb2
from broker.listeners.grpc.calls import MAX_FIELDS
from broker.listeners.grpc.codec import from_document
from broker.listeners.grpc.wirecount import has_more_fields

CHAT, EMBEDDINGS = openai_pb2.CreateChatCompletionRequest, openai_pb2.CreateEmbeddingsRequest
HALF = 8 * 1024 * 1024


def raw_of(message: type[Message], document: dict[str, object]) -> bytes:
    return from_document(message, document).SerializeToString()


@pytest.mark.parametrize(
    ("message", "make"),
    [
        (CHAT, lambda: b"\x12\x00" * HALF),
        (CHAT, lambda: b"\x08\x01" * HALF),
        (EMBEDDINGS, lambda: raw_of(EMBEDDINGS, {"model": "m", "input": [1] * 2_000_000})),
    ],
    ids=["8,388,608 empty messages", "8,388,608 unknown fields", "2,000,000 integers"],
)
def test_a_vast_message_is_refused_before_it_is_parsed(
    message: type[openai_pb2.CreateChatCompletionRequest], make: Callable[[], bytes]
) -> None:
    """Issue 12, A.2, over gRPC: 16 MiB of empty messages take gigabytes once they are parsed."""
    raw = make()
    begun = time.thread_time()
    assert has_more_fields(message, raw, MAX_FIELDS)
    assert time.thread_time() - begun < 2


@pytest.mark.parametrize(
    ("message", "document"),
    [
        (EMBEDDINGS, {"model": "m", "input": [[199_999] * 146] * 2_048}),  # 300,000 tokens
        (EMBEDDINGS, {"model": "m", "input": [199_999] * 300_000}),
        (CHAT, {"model": "m", "messages": [{"role": "user", "content": "a"}] * 20_000}),
        (CHAT, {"model": "m", "messages": [{"role": "user", "content": "\x12\x00" * 2_000_000}]}),
    ],
)
def test_what_openai_takes_is_within_the_bound(
    message: type[openai_pb2.CreateChatCompletionRequest], document: dict[str, object]
) -> None:
    assert not has_more_fields(message, raw_of(message, document), MAX_FIELDS)


@given(st.binary(max_size=200), st.integers(0, 20))
def test_any_bytes_are_counted_and_none_is_read_beyond_the_end(raw: bytes, most: int) -> None:
    assert has_more_fields(CHAT, raw, most) in (True, False)


@given(st.integers(1, 60), st.integers(0, 400))
def test_the_count_is_that_of_the_message(messages: int, most: int) -> None:
    document = {"model": "m", "messages": [{"role": "user", "content": "ab"}] * messages}
    raw = from_document(CHAT, document).SerializeToString()
    fields = 1 + messages * 4  # each message: itself, role, content, and the text within
    assert has_more_fields(CHAT, raw, most) == (fields > most and len(raw) > most)
