"""A secret in a streamed reply: cut, and no byte of it arrives, however the upstream splits it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress

import grpc
import pytest

from broker.gen.broker.v1 import openai_pb2_grpc
from tests.e2e.raw import bearer, channel
from tests.e2e.records import outcome
from tests.e2e.staged import Staged
from tests.e2e.test_streams import Heard, hear, rpc_request
from tests.e2e.upstreams import DONE, Exchange, chat_event

SECRET = "AKIAIOSFODNN7EXAMPLE"  # AWS's own documentation example
LEAD = "the id is "
AFTER = " and so on, for as long as it takes"


def pieces(at: int) -> list[str]:
    """The secret cut in two at this place."""
    return [LEAD, SECRET[:at], SECRET[at:], AFTER]


def said(heard: Heard) -> str:
    """All text that the chunks of a stream brought."""
    chunks = [json.loads(e[6:]) for e in heard.events if e.startswith("data: {")]
    return "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks)


def tell(staged: Staged, parts: Sequence[str]) -> None:
    """The upstream streams these parts."""
    staged.upstream.answer(lambda exchange: exchange.events(*map(chat_event, parts), DONE))


def assert_cut(staged: Staged, heard: Heard) -> None:
    assert LEAD.startswith(said(heard)), "something of the secret arrived"
    assert heard.events[-1].startswith("event: error\n")
    assert '"code":"content_policy_violation"' in heard.events[-1]
    assert "[DONE]" not in heard.text
    record = outcome(staged.broker.log, heard.call_id)
    assert record.error == "CONTENT_BLOCKED"


@pytest.mark.parametrize("at", range(len(SECRET) + 1))
def test_a_secret_split_over_two_events_is_cut(staged: Staged, at: int) -> None:
    tell(staged, pieces(at))
    assert_cut(staged, hear(staged.broker))


def test_a_secret_sent_character_by_character_is_cut(staged: Staged) -> None:
    tell(staged, [*LEAD, *SECRET, *AFTER])
    assert_cut(staged, hear(staged.broker))


def test_a_secret_split_within_the_bytes_of_an_event_is_cut(staged: Staged) -> None:
    def trickle(exchange: Exchange) -> None:
        exchange.head(200, content_type="text/event-stream")
        for byte in chat_event(LEAD + SECRET + AFTER) + DONE:
            exchange.wfile.write(bytes((byte,)))

    staged.upstream.answer(trickle)
    assert_cut(staged, hear(staged.broker))


@pytest.mark.parametrize(
    "event",
    [
        f"data: {SECRET} \n\n",
        f'data: ["{SECRET} "]\n\n',
        f'event: note\ndata: {{"text": "{SECRET} "}}\n\n',
        f'data: {{"type": "response.output_text.done", "text": "{SECRET} "}}\n\n',
    ],
    ids=["plain text", "array", "unknown event", "finished text"],
)
def test_a_secret_in_an_unusual_event_is_cut(staged: Staged, event: str) -> None:
    staged.upstream.answer(lambda exchange: exchange.events(chat_event(LEAD), event.encode(), DONE))
    heard = hear(staged.broker)
    assert SECRET[:4] not in heard.text
    assert_cut(staged, heard)


def test_broken_json_cannot_slip_past_the_filter(staged: Staged) -> None:
    event = f'data: {{"choices": [{{"delta": {{"content": "{SECRET}\n\n'
    staged.upstream.answer(lambda exchange: exchange.events(chat_event(LEAD), event.encode(), DONE))
    heard = hear(staged.broker)
    assert SECRET[:4] not in heard.text
    assert outcome(staged.broker.log, heard.call_id).error == "UPSTREAM_INTERRUPTED"


def test_what_only_began_like_a_secret_arrives_whole(staged: Staged) -> None:
    harmless = [LEAD, "AKIA", "IOS", "-", "no key"]
    tell(staged, harmless)
    heard = hear(staged.broker)
    assert said(heard) == "".join(harmless)
    assert heard.events[-1].encode() == DONE
    assert outcome(staged.broker.log, heard.call_id).error is None


def test_a_secret_over_grpc_is_cut(staged: Staged) -> None:
    tell(staged, [*LEAD, *SECRET, *AFTER])
    metadata = tuple(bearer(staged.broker, "explorer").items())
    arrived = ""
    with channel(staged.broker, "explorer") as opened:
        stub = openai_pb2_grpc.OpenAIServiceStub(opened)
        messages = stub.StreamChatCompletion(rpc_request("words:1"), metadata=metadata, timeout=30)
        with suppress(grpc.RpcError):
            for message in messages:
                arrived += message.choices[0].delta.content.text
    assert messages.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert arrived
    assert LEAD.startswith(arrived)
