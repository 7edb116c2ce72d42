"""The broker's end: what was under way is told and recorded; whatever hangs, the process ends in time."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from broker.app import session
from broker.gen.broker.v1 import chat_pb2, common_pb2, openai_pb2, openai_pb2_grpc
from tests.commands import typed
from tests.e2e.raw import address, bearer, channel, refusal
from tests.e2e.records import types, verify
from tests.e2e.upstreams import behind
from tests.nursery import the_nursery
from tests.processes import children, freeze
from tests.running import SMALL_POLICIES, RunningBroker, start_broker

CHAT = "/v1/chat/completions"
ASKED = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say."}]}
_SAID = chat_pb2.ChatMessage(role=common_pb2.ROLE_USER, content=chat_pb2.ChatContent(text="Say."))
_SOON = 6.0
"""The bound that these tests set where something hangs, so that nobody waits for the true one."""


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ...]]:
    with behind(tmp_path_factory.mktemp("upstream")) as told:
        yield told


@contextmanager
def upstreamed(home: Path, upstream: tuple[str, ...], first: str = "") -> Iterator[RunningBroker]:
    broker = start_broker(home / "b", *upstream, first=first)
    try:
        yield broker
    finally:
        if broker.process.poll() is None:
            broker.kill_all()
        assert broker.process.stdout is not None
        broker.process.stdout.close()


def outcomes(broker: RunningBroker) -> list[dict[str, Any]]:
    shown = typed("audit", "show", broker.log, "--json", "--limit", 100)
    assert shown.returncode == 0, shown.stderr
    records = [json.loads(line) for line in shown.stdout.splitlines()]
    return [record for record in records if record["type"] == "outcome"]


class CallLoad:
    """Calls under way, each in a thread of its own; `ended` is how each ended, by name."""

    def __init__(self, broker: RunningBroker) -> None:
        self._broker = broker
        self._threads: list[threading.Thread] = []
        self.ended: dict[str, str] = {}

    def begin(self, name: str, work: Callable[[], str]) -> None:
        def run() -> None:
            self.ended[name] = work()

        self._threads.append(threading.Thread(target=run))
        self._threads[-1].start()

    def https(self, fault: str, *, stream: bool) -> str:
        headers = {**bearer(self._broker, "explorer"), "x-sim-fault": fault}
        with self._broker.http("explorer") as client:
            body = {**ASKED, "stream": stream}
            with client.stream("POST", CHAT, json=body, headers=headers, timeout=60) as reply:
                heard = ""
                try:
                    for part in reply.iter_text():
                        heard += part
                except httpx.RemoteProtocolError:  # a cut stream breaks its transfer
                    return heard
                return f"{reply.status_code} {heard}"

    def grpc(self, fault: str, *, stream: bool) -> str:
        asked = openai_pb2.CreateChatCompletionRequest(model="gpt-4o", messages=[_SAID])
        metadata = (*bearer(self._broker, "explorer").items(), ("x-sim-fault", fault))
        with channel(self._broker, "explorer") as opened:
            stub = openai_pb2_grpc.OpenAIServiceStub(opened)
            try:
                if stream:
                    request = openai_pb2.StreamChatCompletionRequest(request=asked)
                    list(stub.StreamChatCompletion(request, metadata=metadata, timeout=60))
                else:
                    stub.CreateChatCompletion(asked, metadata=metadata, timeout=60)
            except grpc.RpcError as error:
                refused = refusal(error)
                return f"{refused.code.name} {refused.reason}"
        return "ended well"

    def unread(self) -> ExitStack:
        """A stream over each listener whose reader does not read; until it is closed."""
        headers = {**bearer(self._broker, "explorer"), "x-sim-fault": "words:200000"}
        long = (
            "gpt-5"  # how much of it is reserved nobody sees in its words, so its stream is not cut for them
        )
        content = json.dumps({**ASKED, "model": long, "stream": True}).encode()
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.connect(address(self._broker.https))
        stack = ExitStack()
        tls = self._broker.tls("explorer").wrap_socket(plain, server_hostname="127.0.0.1")
        stack.enter_context(tls).sendall(
            f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{head}"
            f"content-length: {len(content)}\r\n\r\n".encode()
            + content
        )
        asked = openai_pb2.CreateChatCompletionRequest(model=long, messages=[_SAID])
        request = openai_pb2.StreamChatCompletionRequest(request=asked)
        stub = openai_pb2_grpc.OpenAIServiceStub(stack.enter_context(channel(self._broker, "explorer")))
        stream = stub.StreamChatCompletion(request, metadata=tuple(headers.items()))
        stack.callback(stream.cancel)
        next(stream)
        return stack

    def join(self) -> None:
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()


UNREAD = 2


@dataclass(frozen=True)
class Ended:
    """A broker that a signal ended, with calls under way; and how each of those that were read ended."""

    broker: RunningBroker
    took: float
    calls: dict[str, str]

    def outcomes(self) -> list[dict[str, Any]]:
        return outcomes(self.broker)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory, upstream: tuple[str, ...]) -> Ended:
    """Streams and unary calls over both listeners, calls that wait to be sent again, and readers that do not
    read.
    """
    with upstreamed(tmp_path_factory.mktemp("ended"), upstream) as broker:
        broker.token("explorer")
        calls = CallLoad(broker)
        begin: dict[str, Callable[[], str]] = {
            "https stream": lambda: calls.https("slow-stream:60000", stream=True),
            "grpc stream": lambda: calls.grpc("slow-stream:60000", stream=True),
            "https unary": lambda: calls.https("slow-first-byte:60000", stream=False),
            "grpc unary": lambda: calls.grpc("slow-first-byte:60000", stream=False),
            "https waits to be sent again": lambda: calls.https("429/retry-after-ms:19000", stream=False),
            "grpc waits to be sent again": lambda: calls.grpc("429/retry-after-ms:19000", stream=False),
        }
        for name, work in begin.items():
            calls.begin(name, work)
        with calls.unread():
            time.sleep(3)
            began = time.monotonic()
            broker.stop()
            took = time.monotonic() - began
        calls.join()
    assert set(calls.ended) == set(begin)
    return Ended(broker, took, calls.ended)


def test_the_brokers_end_is_told_and_recorded_for_every_call_under_way(ended: Ended) -> None:
    """Issue 12, B.24: a stream that SIGTERM cut was recorded as CALLER_GONE."""
    assert ended.took < 15
    for name, said in ended.calls.items():
        assert "SHUTTING_DOWN" in said, (name, said)
        assert said.startswith({"g": "UNAVAILABLE ", "h": "" if "stream" in name else "503 "}[name[0]])
    assert [record["error"] for record in ended.outcomes()] == ["SHUTTING_DOWN"] * (len(ended.calls) + UNREAD)


def test_a_stream_that_the_brokers_end_cut_is_recorded_as_that(ended: Ended) -> None:
    said = ended.calls["https stream"]
    assert any("SHUTTING_DOWN" in line for line in said.splitlines()), said
    assert {record["error"] for record in ended.outcomes()} == {"SHUTTING_DOWN"}


def test_streams_that_are_open_when_the_broker_stops_leave_no_call_open(ended: Ended) -> None:
    streams = [record["call_id"] for record in ended.outcomes() if record["operation"] == "chat"]
    assert len(streams) == len(ended.calls) + UNREAD
    assert [types(ended.broker.log, call_id) for call_id in streams] == [["intent", "outcome"]] * len(streams)
    assert verify(ended.broker.log).returncode == 0


def test_a_disk_that_hangs_holds_no_end_up(tmp_path: Path, upstream: tuple[str, ...]) -> None:
    """Issue 12, B.24: a sync that hangs for 25 s left a process that had not exited at 70 s."""
    with upstreamed(tmp_path, upstream) as broker:
        calls = CallLoad(broker)
        calls.begin("call", lambda: calls.https("slow-first-byte:60000", stream=False))
        time.sleep(2)
        [writer] = children(broker.process.pid)
        freeze(writer)
        broker.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        code = broker.process.wait(session.STOP_SECONDS + 5)
        assert time.monotonic() - began < session.STOP_SECONDS + 2
        calls.join()
    assert code in {0, 1}
    assert "not_stopped" in broker.errors.read_text() or code == 1


_HANG = "import asyncio, time\ndef hang(): time.sleep(600)\n"


def _hanging(patch: str) -> str:
    return f"from broker.app import session\nsession.STOP_SECONDS = {_SOON}\n{_HANG}{patch}\n"


HANGS = {
    "a thread": (
        "from broker.adapters.objects import SqliteObjectOwners\n"
        "async def close(self): await asyncio.to_thread(hang)\n"
        "SqliteObjectOwners.close = close"
    ),
    "the event loop": (
        "from broker.adapters.openai import OpenAIUpstream\n"
        "async def aclose(self): hang()\n"
        "OpenAIUpstream.aclose = aclose"
    ),
}


@pytest.mark.parametrize("what", HANGS)
def test_whatever_hangs_the_process_has_ended_in_time(
    tmp_path: Path, upstream: tuple[str, ...], what: str
) -> None:
    with upstreamed(tmp_path, upstream, _hanging(HANGS[what])) as broker:
        broker.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert broker.process.wait(_SOON + 10) == 1
        assert time.monotonic() - began < _SOON + 3
    said = broker.errors.read_text()
    assert "Timeout (0:00:06)!" in said  # its last words: where each thread stands
    assert " in hang\n" in said


@pytest.mark.parametrize("what", HANGS)
def test_a_start_that_fails_has_ended_in_time_whatever_hangs(tmp_path: Path, what: str) -> None:
    failing = (
        "from broker.app.listeners import Listeners\n"
        "async def open(*_): raise OSError(5, 'made to fail')\n"
        "Listeners.open = open"
    )
    free = ["--https", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--console", "127.0.0.1:0"]
    words = ("dev", "--dir", str(tmp_path / "b"), *free, *SMALL_POLICIES)
    done = the_nursery().spawn(*words, first=_hanging(f"{HANGS[what]}\n{failing}")).done()
    assert done.returncode == 1
    assert "Timeout (0:00:06)!" in done.stderr


def test_the_systemd_unit_waits_longer_than_the_broker_takes_to_end() -> None:
    unit = Path("deploy/systemd/broker.service").read_text()
    [patience] = [line for line in unit.splitlines() if line.startswith("TimeoutStopSec=")]
    assert float(patience.partition("=")[2].removesuffix("s")) >= session.STOP_SECONDS + 3
