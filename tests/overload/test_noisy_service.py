"""A noisy service cannot starve another, over both listeners: what is too much is refused early, and told."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from broker.errors import Kind
from broker.gen.broker.v1 import chat_pb2, common_pb2, openai_pb2, openai_pb2_grpc
from broker.listeners.surge import MOST_IN_OVERLOAD
from broker.model.record import RecordType
from broker.model.units import NS_PER_US
from tests import plain
from tests.e2e.raw import address, bearer, channel, refusal
from tests.e2e.records import by_call, entries, verify
from tests.e2e.upstreams import Exchange, ScriptedUpstream, scripted_upstream
from tests.running import SMALL_POLICIES, WORKERS, RunningBroker, start_broker
from tests.sizes import sized

CHAT = "/v1/chat/completions"
ASKED = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 5}
ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
).encode()
UNDER_WAY = 8
NOISY, QUIET = "explorer", "assistant"
_SAID = chat_pb2.ChatMessage(role=common_pb2.ROLE_USER, content=chat_pb2.ChatContent(text="hello"))
MESSAGE = openai_pb2.CreateChatCompletionRequest(model="gpt-4o-mini", messages=[_SAID])


@dataclass
class Held:
    """A broker that may have few calls under way, and an upstream that keeps those that say so."""

    broker: RunningBroker
    upstream: ScriptedUpstream
    go: threading.Event = field(default_factory=threading.Event)

    def answer(self, exchange: Exchange) -> None:
        """Calls of the noisy one are answered when the test lets them."""
        if b"wait" in self.upstream.bodies[-1]:
            self.go.wait(30)
        exchange.whole(200, ANSWER)

    def metric(self, name: str) -> float:
        """A figure of /metrics."""
        text = plain.get(f"{self.broker.console}/metrics").text
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    monkeypatch.setenv("BROKER__SERVER__MAX_UNDER_WAY", str(UNDER_WAY))
    with scripted_upstream() as upstream:
        running = start_broker(tmp_path / "b", "--upstream", upstream.url, *SMALL_POLICIES, workers=1)
        scene = Held(running, upstream)
        upstream.answer(scene.answer)
        try:
            yield scene
        finally:
            scene.go.set()
            running.stop()


@contextmanager
def slow_calls(held: Held, number: int) -> Iterator[None]:
    """So many calls of the noisy one wait for upstream meanwhile."""
    body = ASKED | {"messages": [{"role": "user", "content": "wait"}]}
    headers = bearer(held.broker, NOISY)

    def send() -> None:
        with held.broker.http(NOISY) as client:
            replies.append(client.post(CHAT, json=body, headers=headers))

    replies: list[httpx.Response] = []
    threads = [threading.Thread(target=send) for _ in range(number)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 20
    while len(held.upstream.bodies) < number:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    try:
        yield
    finally:
        held.go.set()
        for thread in threads:
            thread.join()
    assert [reply.status_code for reply in replies] == [200] * number


def test_a_service_with_too_much_under_way_is_refused_early_over_https(held: Held) -> None:
    headers = bearer(held.broker, NOISY)
    bearer(held.broker, QUIET)
    with slow_calls(held, UNDER_WAY // 2), held.broker.http(NOISY) as noisy:
        assert held.metric("broker_requests_under_way") == UNDER_WAY // 2
        for _ in range(3):  # the connection stays: a new one would cost more than what is refused
            reply = noisy.post(CHAT, json=ASKED, headers=headers)
            assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
            assert reply.json()["error"]["code"] == "overloaded"
            assert reply.json()["error"]["reason"] == Kind.OVERLOADED.value
            assert reply.headers["x-broker-call-id"].startswith("call_")
        long = noisy.post(CHAT, content=b"x" * 100_000, headers=headers)
        assert (long.status_code, long.headers["connection"]) == (503, "close")
        form = noisy.post("/oauth/token", data={"grant_type": "client_credentials"})
        assert (form.status_code, form.json()["error"]) == (503, "temporarily_unavailable")
        assert noisy.get("/healthz").status_code == noisy.get("/readyz").status_code == 200
        with held.broker.http(QUIET) as quiet:
            assert quiet.post(CHAT, json=ASKED, headers=bearer(held.broker, QUIET)).status_code == 200
        assert held.metric('broker_requests_overloaded_total{reason="under_way"}') == 5
    with held.broker.http(NOISY) as noisy:
        assert noisy.post(CHAT, json=ASKED, headers=headers).status_code == 200
    assert held.metric("broker_requests_under_way") == 0


def test_a_service_with_too_much_under_way_is_refused_early_over_grpc(held: Held) -> None:
    tokens = {who: (("authorization", f"Bearer {held.broker.token(who)}"),) for who in (NOISY, QUIET)}
    with slow_calls(held, UNDER_WAY // 2), ExitStack() as stack:
        noisy, quiet = (stack.enter_context(channel(held.broker, who)) for who in (NOISY, QUIET))
        with pytest.raises(grpc.RpcError) as raised:
            openai_pb2_grpc.OpenAIServiceStub(noisy).CreateChatCompletion(MESSAGE, metadata=tokens[NOISY])
        refused = refusal(raised.value)
        assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, Kind.OVERLOADED.value)
        assert refused.trailers["x-broker-call-id"].startswith("call_")
        assert (
            openai_pb2_grpc.OpenAIServiceStub(quiet)
            .CreateChatCompletion(MESSAGE, metadata=tokens[QUIET])
            .choices
        )
    held.broker.stop()
    [told] = [each.record for each in entries(held.broker.log) if each.record.reason == Kind.OVERLOADED.value]
    assert (told.type, told.count, told.transport) == (RecordType.DENIED, 1, "grpc")
    assert told.subject == held.broker.identities[NOISY].spiffe_id
    assert told.call_id == refused.trailers["x-broker-call-id"]
    assert verify(held.broker.log).returncode == 0


@dataclass
class Heard:
    """The call ids that a caller was told, and the unix microsecond at which each was sent."""

    answered: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    sent_us: dict[str, int] = field(default_factory=dict)


async def calls(broker: RunningBroker, who: str, number: int, heard: Heard) -> None:
    """One call after the other on one connection, at once again whatever came."""
    body = json.dumps(ASKED).encode()
    reader, writer = await asyncio.open_connection(*address(broker.https), ssl=broker.tls(who))
    head = (
        f"POST {CHAT} HTTP/1.1\r\nhost: broker\r\nauthorization: Bearer {broker.token(who)}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    for _ in range(number):
        sent_us = time.time_ns() // NS_PER_US
        writer.write(head.encode() + body)
        said = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        fields = dict(line.split(": ", 1) for line in said.splitlines()[1:] if line)
        await reader.readexactly(int(fields["content-length"]))
        status = int(said.split()[1])
        assert status in (200, 503)
        into = heard.answered if status == 200 else heard.refused
        into.append(fields["x-broker-call-id"])
        heard.sent_us[into[-1]] = sent_us
    writer.close()


async def test_a_noisy_service_starves_nobody_and_no_record_is_missing(tmp_path: Path) -> None:
    """More callers of one service than may wait, each again at once: its oldest are refused. The other's are
    served meanwhile, each of them, and ahead of most that wait.
    """
    callers = (MOST_IN_OVERLOAD + 150) * WORKERS
    broker = await asyncio.to_thread(start_broker, tmp_path / "b", *SMALL_POLICIES)
    try:
        await asyncio.to_thread(lambda: [broker.token(who) for who in (NOISY, QUIET)])
        noisy, quiet = Heard(), Heard()
        noise = [asyncio.create_task(calls(broker, NOISY, sized(10), noisy)) for _ in range(callers)]
        while len(noisy.refused) < 20:
            assert not all(task.done() for task in noise), "nobody was refused"
            await asyncio.sleep(0.01)
        await calls(broker, QUIET, sized(10), quiet)
        await asyncio.gather(*noise)
    finally:
        await asyncio.to_thread(broker.stop)
    assert quiet.refused == []
    found = by_call(broker.log)
    begun = {call_id: entries[0].place.time_us for call_id, entries in found.items()}
    ahead = [
        sum(quiet.sent_us[call_id] < begun[other] < begun[call_id] for other in noisy.answered)
        for call_id in quiet.answered
    ]
    most = MOST_IN_OVERLOAD * WORKERS / 8  # in one queue it would be all that wait
    assert sum(ahead) / len(ahead) < most, ahead
    for call_id in noisy.answered + quiet.answered:
        assert [each.record.type for each in found[call_id]] == [RecordType.INTENT, RecordType.OUTCOME]
    assert _counted(broker) == len(noisy.refused)


def _counted(broker: RunningBroker) -> int:
    """How many refusals for overload the log tells of."""
    told: list[Any] = [each.record for each in entries(broker.log)]
    return sum(record.count or 0 for record in told if record.reason == Kind.OVERLOADED.value)
