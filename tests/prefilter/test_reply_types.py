"""A canary in each string of each event and reply type of the `openai` package: none is passed on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import orjson
import pytest
from openai.types import (
    Completion,
    CompletionUsage,
    CreateEmbeddingResponse,
    ErrorObject,
    Model,
    ModelDeleted,
    ModerationCreateResponse,
)
from openai.types.chat import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionDeleted,
    ChatCompletionStoreMessage,
)
from openai.types.responses import Response, ResponseItemList, ResponseStreamEvent
from pydantic import BaseModel

from broker.call.gate import Gate
from broker.errors import BrokerError, Kind
from broker.prefilter.places import Places
from broker.prefilter.rules import rules
from broker.prefilter.stream import StreamFilter
from broker.prefilter.texts import texts
from broker.shaping.sse import parts
from tests.inspectors import shared_inspector
from tests.prefilter.shapes import least, marked, spelled

CANARY = "AKIAIOSFODNN7EXAMPLE"  # AWS's own documentation example
HALVES = ("AKIAIOSFODN", "N7EXAMPLE")
ALL = rules()
SECRETS = tuple(rule for rule in ALL if rule.id.startswith("secret."))
EVENTS = (Completion, ChatCompletionChunk, *get_args(get_args(ResponseStreamEvent)[0]))
REPLIES = (
    Completion, ChatCompletion, Response, ResponseItemList, ChatCompletionStoreMessage, ChatCompletionDeleted,
    CreateEmbeddingResponse, ModerationCreateResponse, Model, ModelDeleted, ErrorObject, CompletionUsage,
)  # fmt: skip


def gate(*, everything: bool = False) -> Gate:
    watched = ALL if everything else SECRETS
    secrets = StreamFilter(lambda rule: rule.startswith("secret."), watched)
    return Gate(Places(StreamFilter(lambda _: True, watched), secrets, shared_inspector(watched=watched)))


def event(document: object) -> bytes:
    name = document.get("type") if isinstance(document, dict) else None
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + orjson.dumps(document) + b"\n\n"


def passed(documents: Sequence[object], *, everything: bool = False) -> tuple[bytes, bool]:
    """What of these events leaves, and whether the stream is cut."""
    listener = gate(everything=everything)
    left = b""
    try:
        for document in documents:
            data, beside = parts(event(document), first=False)
            left += b"".join(listener.admit(event(document), orjson.loads(data or b"null"), beside))
        left += b"".join(listener.finish())
    except BrokerError as error:
        return left, error.kind is Kind.CONTENT_BLOCKED and CANARY not in str(error.param)
    return left, False


def documents(kinds: Sequence[Any]) -> list[Any]:
    return [pytest.param(kind, id=kind.__name__) for kind in kinds]


@pytest.mark.parametrize("kind", documents(EVENTS))
def test_a_canary_in_any_string_of_an_event_is_not_passed_on(kind: type[BaseModel]) -> None:
    count, plain = 0, least(kind)
    for count, document in enumerate(marked(kind), 1):  # noqa: B007 - counted to see that there were any
        left, cut = passed([plain, spelled(document, CANARY), plain])
        assert cut, document
        assert b"AKIA" not in left, document
    assert count


@pytest.mark.parametrize("kind", documents(EVENTS))
def test_a_canary_split_over_two_events_is_not_passed_on(kind: type[BaseModel]) -> None:
    plain = least(kind)
    for document in marked(kind):
        first, second = (spelled(document, half) for half in HALVES)
        left, cut = passed([plain, first, second, plain])
        assert cut, document
        assert b"AKIA" not in left, document


@pytest.mark.parametrize("kind", documents(REPLIES))
def test_a_canary_in_any_string_of_a_reply_is_found(kind: type[BaseModel]) -> None:
    for document in marked(kind):
        said = spelled(document, CANARY)
        assert isinstance(said, dict)
        assert shared_inspector(watched=SECRETS).inspect(texts(said)), document


@pytest.mark.parametrize("kind", documents(EVENTS))
@pytest.mark.parametrize("everything", [False, True], ids=["secrets cut", "everything cuts"])
def test_an_event_that_says_nothing_new_is_not_held(kind: type[BaseModel], everything: bool) -> None:
    said = least(kind)
    listener = gate(everything=everything)
    for _ in range(3):
        assert listener.admit(event(said), said, []) == [event(said)]
