"""Streams through real connections: when events arrive, what ends them, and what is recorded of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil
from statistics import median
from typing import Any

import grpc
import httpx
import openai
import pytest

from broker.gen.broker.v1 import chat_pb2, common_pb2, openai_pb2, openai_pb2_grpc
from broker.model.record import Record
from tests.demo.steps import sdk
from tests.e2e.raw import bearer, channel
from tests.e2e.records import outcome, types
from tests.e2e.upstreams import received
from tests.running import RunningBroker

MODEL = "gpt-4o"
BROKEN = ["cut", "cut:0", "end-without-done", "malformed-json", "error-event"]


@dataclass
class Heard:
    """A stream as its caller heard it."""

    call_id: str
    events: list[str] = field(default_factory=list)
    at: list[float] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.events)


@contextmanager
def streaming(
    broker: RunningBroker, fault: str = "", *, route: str = "chat/completions", token: str = "", **fields: Any
) -> Iterator[httpx.Response]:
    """An open stream of the explorer; `fault` is for the simulator."""
    asked = (
        {"input": "Say it."} if route == "responses" else {"messages": [{"role": "user", "content": "Say."}]}
    )
    headers = {**bearer(broker, "explorer"), "x-sim-fault": fault}
    if token:
        headers["authorization"] = f"Bearer {token}"
    with (
        broker.http("explorer") as client,
        client.stream(
            "POST", f"/v1/{route}", json={"model": MODEL, "stream": True, **asked, **fields}, headers=headers
        ) as reply,
    ):
        yield reply


def events(reply: httpx.Response) -> Iterator[str]:
    """The reply's events as they arrive, blank line included."""
    rest = ""
    for part in reply.iter_text():
        *whole, rest = (rest + part).split("\n\n")
        yield from (f"{event}\n\n" for event in whole)
    assert rest == "", "the stream ended within an event"


def hear(broker: RunningBroker, fault: str = "", **fields: Any) -> Heard:
    """A whole stream, with the time each event arrived."""
    with streaming(broker, fault, **fields) as reply:
        heard = Heard(reply.headers["x-broker-call-id"])
        for event in events(reply):
            heard.at.append(time.monotonic())
            heard.events.append(event)
    return heard


def rpc_request(fault: str) -> openai_pb2.StreamChatCompletionRequest:
    """The same for gRPC; the fault rides at the end of the model's name."""
    said = chat_pb2.ChatMessage(role=common_pb2.ROLE_USER, content=chat_pb2.ChatContent(text="Say."))
    asked = openai_pb2.CreateChatCompletionRequest(model=f"{MODEL}-sim-{fault}", messages=[said])
    return openai_pb2.StreamChatCompletionRequest(request=asked)


@contextmanager
def rpc(broker: RunningBroker, fault: str) -> Iterator[Any]:
    """An open gRPC stream of the explorer."""
    metadata = tuple(bearer(broker, "explorer").items())
    with channel(broker, "explorer") as opened:
        stub = openai_pb2_grpc.OpenAIServiceStub(opened)
        yield stub.StreamChatCompletion(rpc_request(fault), metadata=metadata, timeout=30)


def open_replies(broker: RunningBroker) -> int:
    """Replies that the simulator has under way, this question not counted."""
    count: int = received(broker.upstream)["open_replies"]
    return count


def upstream_closes(broker: RunningBroker) -> bool:
    """Whether the simulator notices within a second that nobody listens any more."""
    deadline = time.monotonic() + 1
    while open_replies(broker) and time.monotonic() < deadline:
        time.sleep(0.02)
    return open_replies(broker) == 0


def test_events_arrive_one_by_one_as_upstream_sends_them(broker: RunningBroker) -> None:
    began = time.monotonic()
    heard = hear(broker, "slow-stream:80/words:6")
    gaps = [later - earlier for earlier, later in pairwise(heard.at)]
    assert heard.at[0] - began < (heard.at[-1] - began) / 2, "the first event waited for others"
    assert len(gaps) >= 7
    assert median(gaps) > 0.04, "events were collected and sent together"
    assert heard.events[-1] == "data: [DONE]\n\n"


def test_rpc_messages_arrive_one_by_one(broker: RunningBroker) -> None:
    with rpc(broker, "slow-stream:80/words:4") as messages:
        at = [time.monotonic() for _ in messages]
    gaps = [later - earlier for earlier, later in pairwise(at)]
    assert len(gaps) >= 4
    assert median(gaps) > 0.04


def test_comments_and_unknown_events_are_kept(broker: RunningBroker) -> None:
    heard = hear(broker, "unknown-event/words:3", stream_options={"include_usage": True})
    known = [event for event in heard.events if "chat.completion.chunk" in event]
    assert len(known) == 6
    assert heard.events.count(": keep-alive\n\n") == len(known)
    unknown = 'event: simulated.unknown\ndata: {"type":"simulated.unknown","object":"unknown"}\n\n'
    assert heard.events.count(unknown) == len(known)
    assert outcome(broker.log, heard.call_id).error is None


def assert_cut(broker: RunningBroker, heard: Heard) -> Record:
    """The stream looks cut, to the caller and in the log."""
    assert heard.events[-1].startswith("event: error\n")
    assert '"code":"upstream_interrupted"' in heard.events[-1]
    assert "[DONE]" not in heard.text
    record = outcome(broker.log, heard.call_id)
    assert (record.error, record.status) == ("UPSTREAM_INTERRUPTED", 200)
    assert types(broker.log, heard.call_id) == ["intent", "outcome"]
    return record


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_chat_stream_looks_broken(broker: RunningBroker, fault: str) -> None:
    assert_cut(broker, hear(broker, fault))


@pytest.mark.parametrize("fault", ["cut", "end-without-done", "malformed-json"])
def test_a_broken_responses_stream_looks_broken(broker: RunningBroker, fault: str) -> None:
    heard = hear(broker, fault, route="responses")
    assert "response.completed" not in heard.text
    assert_cut(broker, heard)


def test_upstreams_own_error_event_ends_a_responses_stream(broker: RunningBroker) -> None:
    heard = hear(broker, "error-event", route="responses")
    assert heard.events[-1].startswith("event: error\n")
    assert "response.completed" not in heard.text
    assert outcome(broker.log, heard.call_id).error == "UPSTREAM_INTERRUPTED"


@pytest.mark.parametrize("fault", BROKEN)
def test_the_openai_sdk_raises_on_a_broken_stream(broker: RunningBroker, fault: str) -> None:
    message: Any = [{"role": "user", "content": "Say."}]
    with (
        pytest.raises(openai.APIError),
        sdk(broker, "explorer").chat.completions.create(
            model=MODEL, messages=message, stream=True, extra_headers={"x-sim-fault": fault}
        ) as stream,
    ):
        list(stream)


@pytest.mark.parametrize("fault", ["cut", "end-without-done", "malformed-json", "error-event"])
def test_a_broken_rpc_stream_ends_unavailable(broker: RunningBroker, fault: str) -> None:
    with rpc(broker, fault) as messages, pytest.raises(grpc.RpcError):
        list(messages)
    assert messages.code() is grpc.StatusCode.UNAVAILABLE
    call_id = dict(messages.initial_metadata())["x-broker-call-id"]
    assert outcome(broker.log, call_id).error == "UPSTREAM_INTERRUPTED"


def test_a_caller_that_leaves_ends_the_call_upstream(broker: RunningBroker) -> None:
    with streaming(broker, "slow-stream:200/words:100") as reply:
        arriving = events(reply)
        next(arriving)
        assert open_replies(broker) == 1
    assert upstream_closes(broker)
    assert outcome(broker.log, reply.headers["x-broker-call-id"]).error == "CALLER_GONE"


def test_an_rpc_caller_that_leaves_ends_the_call_upstream(broker: RunningBroker) -> None:
    with rpc(broker, "slow-stream:200/words:100") as messages:
        next(messages)
        call_id = dict(messages.initial_metadata())["x-broker-call-id"]
        assert open_replies(broker) == 1
        messages.cancel()
        assert upstream_closes(broker)
    assert outcome(broker.log, call_id).error == "CALLER_GONE"


def call_upstream(broker: RunningBroker) -> str:
    """The id of the call that upstream is now at work on."""
    deadline = time.monotonic() + 2
    while not open_replies(broker) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert open_replies(broker) == 1
    return str(received(broker.upstream)["entries"][-1]["headers"]["x-client-request-id"])


def test_an_rpc_caller_that_leaves_before_the_first_byte_ends_the_call_upstream(
    broker: RunningBroker,
) -> None:
    with rpc(broker, "slow-first-byte:3000") as messages:
        call_id = call_upstream(broker)
        messages.cancel()
        assert upstream_closes(broker)
    assert outcome(broker.log, call_id).error == "CALLER_GONE"


@pytest.mark.parametrize("stream", [True, False])
def test_a_caller_that_leaves_before_the_first_byte_ends_the_call_upstream(
    broker: RunningBroker, stream: bool
) -> None:
    said_before = broker.errors.read_text()
    said = {"model": MODEL, "messages": [{"role": "user", "content": "Say."}], "stream": stream}
    headers = {**bearer(broker, "explorer"), "x-sim-fault": "slow-first-byte:3000"}
    with broker.http("explorer") as client, pytest.raises(httpx.ReadTimeout):
        client.post("/v1/chat/completions", json=said, headers=headers, timeout=0.3)
    assert upstream_closes(broker)
    call_id = received(broker.upstream)["entries"][-1]["headers"]["x-client-request-id"]
    assert outcome(broker.log, call_id).error == "CALLER_GONE"
    assert broker.errors.read_text() == said_before, "a caller that leaves is no error"


def test_a_token_that_expires_ends_its_stream(broker: RunningBroker) -> None:
    token = broker.ask_token("explorer", "chat", ttl="2").json()["access_token"]
    began = time.monotonic()
    heard = hear(broker, "slow-stream:100/words:100", token=token)
    assert time.monotonic() - began < 4
    assert '"reason":"TOKEN_EXPIRED"' in heard.events[-1]
    assert "[DONE]" not in heard.text
    assert outcome(broker.log, heard.call_id).error == "TOKEN_EXPIRED"
    assert upstream_closes(broker)


def test_a_revoked_token_ends_its_stream(broker: RunningBroker) -> None:
    token = broker.ask_token("explorer", "chat").json()["access_token"]
    with (
        streaming(broker, "slow-stream:100/words:100", token=token) as reply,
        broker.http("explorer") as other,
    ):
        arriving = events(reply)
        next(arriving)
        assert other.post("/oauth/revoke", data={"token": token}).status_code == 200
        revoked = time.monotonic()
        rest = list(arriving)
    assert time.monotonic() - revoked < 1
    assert '"reason":"TOKEN_REVOKED"' in rest[-1]
    assert outcome(broker.log, reply.headers["x-broker-call-id"]).error == "TOKEN_REVOKED"
    assert upstream_closes(broker)


@pytest.mark.parametrize(
    ("route", "terminal"), [("chat/completions", "[DONE]"), ("responses", "response.completed")]
)
def test_the_outcome_is_durable_before_the_last_event_arrives(
    broker: RunningBroker, route: str, terminal: str
) -> None:
    with streaming(broker, "words:3", route=route) as reply:
        call_id = reply.headers["x-broker-call-id"]
        for event in events(reply):
            if terminal in event:
                assert types(broker.log, call_id) == ["intent", "outcome"]
                break
        else:
            pytest.fail("the stream had no terminal event")


def test_the_outcome_is_durable_before_an_rpc_stream_ends(broker: RunningBroker) -> None:
    with rpc(broker, "words:3") as messages:
        list(messages)
        assert types(broker.log, dict(messages.trailing_metadata())["x-broker-call-id"]) == [
            "intent",
            "outcome",
        ]


def test_usage_of_the_usage_chunk_is_recorded(broker: RunningBroker) -> None:
    heard = hear(broker, "words:7", stream_options={"include_usage": True})
    assert '"choices":[],"usage":{' in heard.events[-2].replace(" ", "")
    record = outcome(broker.log, heard.call_id)
    assert (record.tokens_out, record.finish_reason, record.model_served) == (7, "stop", "gpt-4o-2024-08-06")
    assert record.tokens_in


def test_usage_of_a_completed_response_is_recorded(broker: RunningBroker) -> None:
    heard = hear(broker, "words:7/timestamps", route="responses")
    assert "event: response.completed" in heard.events[-1]
    record = outcome(broker.log, heard.call_id)
    assert (record.error, record.tokens_out) == (None, 7)
    assert record.tokens_in


def test_a_stream_of_the_sdk_is_counted_though_it_did_not_ask(broker: RunningBroker) -> None:
    message: Any = [{"role": "user", "content": "Say."}]
    chat = sdk(broker, "explorer").chat.completions
    with chat.with_raw_response.create(
        model=MODEL, messages=message, stream=True, extra_headers={"x-sim-fault": "words:7"}
    ).parse() as stream:
        call_id = stream.response.headers["x-broker-call-id"]
        chunks = list(stream)
    assert all(chunk.choices for chunk in chunks), "a chunk that the caller did not ask for"
    assert all("usage" not in chunk.model_fields_set for chunk in chunks)
    record = outcome(broker.log, call_id)
    assert (record.tokens_out, record.cost_exact) == (7, True)
    assert record.cost_micro_usd == ceil((record.tokens_in or 0) * 2.5 + 7 * 10)


def test_an_rpc_stream_is_counted_though_it_did_not_ask(broker: RunningBroker) -> None:
    with rpc(broker, "words:7") as messages:
        chunks = list(messages)
        call_id = dict(messages.initial_metadata())["x-broker-call-id"]
    assert all(chunk.choices for chunk in chunks)
    assert not any(chunk.HasField("usage") or "usage" in chunk.extra.fields for chunk in chunks)
    record = outcome(broker.log, call_id)
    assert (record.tokens_out, record.cost_exact) == (7, True)
    assert record.tokens_in
