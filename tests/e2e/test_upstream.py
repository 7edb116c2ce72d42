"""An upstream that fails, lies or floods: what the caller gets, what is sent again, what is recorded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest

from broker.gen.broker.v1 import chat_pb2, common_pb2, openai_pb2, openai_pb2_grpc
from tests import plain
from tests.e2e.raw import bearer, channel, refusal
from tests.e2e.records import outcome
from tests.e2e.staged import Staged
from tests.e2e.upstreams import DONE, Exchange, chat_event, received, simulator_process
from tests.ports import free_port
from tests.running import SMALL_POLICIES, RunningBroker, start_broker

WRONG_KEY = "sk-wrong-0123456789abcdefghijklmnopqrst"
MEBIBYTE = b"x" * (1 << 20)


def chat(broker: RunningBroker, text: str, fault: str = "", *, stream: bool = False) -> httpx.Response:
    """One chat as `explorer`; `fault` is for the simulator."""
    headers = {"authorization": f"Bearer {broker.token('explorer')}", "x-sim-fault": fault}
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], "stream": stream}
    with broker.http("explorer") as client:
        return client.post("/v1/chat/completions", json=body, headers=headers)


def code(reply: httpx.Response) -> str:
    return str(reply.json()["error"]["code"])


def sends(broker: RunningBroker, reply: httpx.Response) -> int:
    """How often the simulator saw this call."""
    call_id = reply.headers["x-broker-call-id"]
    entries = received(broker.upstream)["entries"]
    return sum(entry["headers"].get("x-client-request-id") == call_id for entry in entries)


def test_a_429_is_ridden_out_as_retry_after_says(broker: RunningBroker) -> None:
    began = time.monotonic()
    reply = chat(broker, "ride it out", "429-then-ok:1/retry-after-ms:1000")
    assert reply.status_code == 200
    assert time.monotonic() - began >= 1.0
    assert sends(broker, reply) == 2
    assert outcome(broker.log, reply.headers["x-broker-call-id"]).status == 200


def test_a_429_that_lasts_reaches_the_caller_with_upstreams_headers(broker: RunningBroker) -> None:
    reply = chat(broker, "for ever", "429/retry-after-ms:0")
    assert (reply.status_code, code(reply)) == (429, "rate_limit_exceeded")
    assert reply.headers["retry-after"] == "0"
    assert reply.headers["x-ratelimit-remaining-requests"] == "0"
    assert reply.headers["x-request-id"].startswith("req_")
    assert sends(broker, reply) == 4
    record = outcome(broker.log, reply.headers["x-broker-call-id"])
    assert (record.status, record.upstream_request_id) == (429, reply.headers["x-request-id"])


def test_a_wait_longer_than_a_caller_should_be_held_is_passed_on(broker: RunningBroker) -> None:
    began = time.monotonic()
    reply = chat(broker, "an hour", "429/retry-after-ms:3600000")
    assert (reply.status_code, reply.headers["retry-after"]) == (429, "3600")
    assert sends(broker, reply) == 1
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_error_is_retried_then_passed_on(broker: RunningBroker, status: int) -> None:
    reply = chat(broker, "server error", str(status))
    assert reply.status_code == status
    assert reply.json()["error"]["type"] == "server_error"
    assert sends(broker, reply) == 4
    assert outcome(broker.log, reply.headers["x-broker-call-id"]).status == status


@pytest.mark.parametrize(("fault", "attempts"), [("", 1), ("503", 4), ("429-then-ok:1/retry-after-ms:0", 2)])
def test_the_outcome_tells_how_often_a_call_was_sent(
    broker: RunningBroker, fault: str, attempts: int
) -> None:
    reply = chat(broker, "count them", fault)
    assert sends(broker, reply) == attempts
    assert outcome(broker.log, reply.headers["x-broker-call-id"]).attempts == attempts


@pytest.mark.parametrize("refusal", ["moderation-400", "context-400"])
def test_upstreams_own_refusal_is_passed_on_once(broker: RunningBroker, refusal: str) -> None:
    reply = chat(broker, "refused", refusal)
    assert reply.status_code == 400
    assert code(reply) in {"invalid_prompt", "context_length_exceeded"}
    assert sends(broker, reply) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_nothing_is_sent_again_after_the_first_byte(broker: RunningBroker, stream: bool) -> None:
    reply = chat(broker, "cut after the first byte", "cut:1", stream=stream)
    assert (reply.status_code, "upstream_" in reply.text) == (200 if stream else 502, True)
    assert sends(broker, reply) == 1
    error = outcome(broker.log, reply.headers["x-broker-call-id"]).error
    assert error == ("UPSTREAM_INTERRUPTED" if stream else "UPSTREAM_UNAVAILABLE")


@pytest.fixture(scope="module")
def orphaned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    """A broker whose upstream is down."""
    running = start_broker(
        tmp_path_factory.mktemp("orphaned") / "b",
        "--upstream",
        f"http://127.0.0.1:{free_port()}",
        *SMALL_POLICIES,
    )
    yield running
    running.stop()


def test_an_upstream_that_is_down_is_a_502_and_a_record(orphaned: RunningBroker) -> None:
    reply = chat(orphaned, "anybody there")
    assert (reply.status_code, code(reply)) == (502, "upstream_unavailable")
    assert reply.headers["retry-after"] == "1"
    record = outcome(orphaned.log, reply.headers["x-broker-call-id"])
    assert (record.error, record.status, record.attempts) == ("UPSTREAM_UNAVAILABLE", 0, 0)


def test_upstream_echoing_the_key_is_not_passed_on(tmp_path: Path) -> None:
    accepted, leased = tmp_path / "accepted.key", tmp_path / "leased.key"
    accepted.write_text("sk-right-0123456789abcdefghijklmnopqrs")
    leased.write_text(WRONG_KEY)
    with simulator_process(accepted) as url:
        arguments = ("--upstream", f"{url}/v1", "--upstream-key-file", str(leased), *SMALL_POLICIES)
        broker = start_broker(tmp_path / "b", *arguments)
        try:
            replies = [chat(broker, "wrong key", stream=stream) for stream in (False, True)]
            refused = plain.get(f"{url}/v1/models", headers={"authorization": f"Bearer {WRONG_KEY}"})
        finally:
            broker.stop()
    assert WRONG_KEY[-4:] in refused.text, "the simulator echoes no part of the key: nothing was tested"
    for reply in replies:
        assert (reply.status_code, code(reply)) == (503, "credential_store_unavailable")
        shown = reply.text + str(reply.headers)
        assert WRONG_KEY[-4:] not in shown
        assert WRONG_KEY[:9] not in shown
        record = outcome(broker.log, reply.headers["x-broker-call-id"])
        assert (record.status, record.error) == (401, "CREDENTIAL_STORE_UNAVAILABLE")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_never_followed(staged: Staged, status: int) -> None:
    elsewhere = f"{staged.upstream.url}/elsewhere"
    staged.upstream.answer(lambda exchange: exchange.whole(status, b"{}", location=elsewhere))
    reply = chat(staged.broker, "go elsewhere")
    assert (reply.status_code, code(reply)) == (502, "upstream_unavailable")
    assert "location" not in reply.headers
    assert staged.upstream.paths == ["/v1/chat/completions"]
    assert outcome(staged.broker.log, reply.headers["x-broker-call-id"]).error == "UPSTREAM_UNAVAILABLE"


def test_a_compressed_reply_nobody_asked_for_is_refused(staged: Staged) -> None:
    staged.upstream.answer(lambda exchange: exchange.whole(200, b"\x1f\x8b", content_encoding="gzip"))
    assert code(chat(staged.broker, "gzip")) == "upstream_unavailable"


@pytest.mark.parametrize("status", [b"000", b"999"])
def test_a_status_that_there_is_not_is_told_at_once_and_recorded(staged: Staged, status: bytes) -> None:
    """The upstream keeps the connection open: its caller must not wait for it, nor be dropped."""
    raw = b"HTTP/1.1 " + status + b" Odd\r\ncontent-length: 2\r\n\r\n{}"
    staged.upstream.answer(lambda exchange: exchange.raw(raw))
    began = time.monotonic()
    reply = chat(staged.broker, "an odd status")
    assert (reply.status_code, code(reply)) == (502, "upstream_unavailable")
    assert time.monotonic() - began < 10
    record = outcome(staged.broker.log, reply.headers["x-broker-call-id"])
    assert (record.error, record.status, record.attempts) == ("UPSTREAM_UNAVAILABLE", 0, 1)


def _flood(exchange: Exchange) -> None:
    exchange.head(200, content_type="application/json")
    for _ in range(80):
        exchange.wfile.write(MEBIBYTE)


def _flood_of_one_event(exchange: Exchange) -> None:
    exchange.head(200, content_type="text/event-stream")
    exchange.wfile.write(chat_event("first"))
    for _ in range(80):
        exchange.wfile.write(b"data: " + MEBIBYTE)


def test_a_reply_without_end_is_bounded(staged: Staged) -> None:
    staged.upstream.answer(_flood)
    reply = chat(staged.broker, "flood")
    assert (reply.status_code, code(reply)) == (502, "upstream_unavailable")


def test_an_event_without_end_is_bounded(staged: Staged) -> None:
    staged.upstream.answer(_flood_of_one_event)
    reply = chat(staged.broker, "flood", stream=True)
    assert "first" in reply.text
    assert "upstream_interrupted" in reply.text
    assert len(reply.content) < len(MEBIBYTE)
    assert "[DONE]" not in reply.text


def test_a_reply_that_is_no_json_cannot_slip_past_the_filter(staged: Staged) -> None:
    secret = b"AKIAIOSFODNN7EXAMPLE"
    staged.upstream.answer(lambda exchange: exchange.whole(200, b'{"choices": [' + secret))
    reply = chat(staged.broker, "no json")
    assert (reply.status_code, code(reply)) == (502, "upstream_unavailable")
    assert secret not in reply.content


def test_an_rpc_answered_with_an_unasked_stream_leaves_no_call_open(staged: Staged) -> None:
    staged.upstream.answer(lambda exchange: exchange.events(chat_event("unasked"), DONE))
    said = chat_pb2.ChatMessage(role=common_pb2.ROLE_USER, content=chat_pb2.ChatContent(text="one answer"))
    asked = openai_pb2.CreateChatCompletionRequest(model="gpt-4o", messages=[said])
    metadata = tuple(bearer(staged.broker, "explorer").items())
    with channel(staged.broker, "explorer") as opened, pytest.raises(grpc.RpcError) as caught:
        openai_pb2_grpc.OpenAIServiceStub(opened).CreateChatCompletion(asked, metadata=metadata, timeout=10)
    refused = refusal(caught.value)
    assert refused.code is grpc.StatusCode.UNAVAILABLE
    assert outcome(staged.broker.log, refused.trailers["x-broker-call-id"]).status == 200
