"""Health answers in less than 100 ms, over HTTPS and gRPC, whatever is sent by whomever.

Two measures. Inside: the CPU time that the broker spends between two turns of its event loop; no other
process of a busy machine is in it, so its bound is strict. Outside: how long health takes; on two cores,
which the callers and the tests share, the median is what the broker can be blamed for.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from broker.gen.broker.v1 import chat_pb2, common_pb2, openai_pb2, openai_pb2_grpc
from tests.e2e.raw import address, bearer, channel
from tests.e2e.upstreams import simulator_process
from tests.running import RunningBroker, start_broker
from tests.sizes import sized

SECONDS = sized(1, 2)
LIMIT = 0.1
UNREAD = 100
SMALL = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
_KEY = "sk-load-0123456789abcdefghijklmnop"
HOSTILE: dict[str, list[tuple[str, str]]] = {
    "counts": [
        ("https", "2,000,000 integers"),
        ("https", "200,000 keys"),
        ("https", "100,000 messages"),
        ("https", "nested arrays"),
    ],
    "counts within the bounds": [
        ("https", "500,000 integers"),
        ("https", "60,000 keys"),
        ("https", "100,000 addresses"),
    ],
    "texts": [
        ("https", "16 MiB of text"),
        ("https", "beginnings of tokens"),
        ("https", "letters that are folded"),
        ("https", "invisible characters"),
        ("https", "one invisible character"),
        ("https", "escapes"),
    ],
    "messages": [
        ("grpc", "2,000,000 integers"),
        ("grpc", "100,000 messages"),
        ("grpc", "16 MiB of text"),
        ("grpc", "invisible characters"),
    ],
    "replies": [("https", "a reply of 8 MiB"), ("grpc", "a reply of 8 MiB")],
    "many small calls at once": [("https", "a small call")] * 8 + [("grpc", "a small call")] * 8,
}


@dataclass(frozen=True)
class Probed:
    """A broker, and the file that its probe writes."""

    broker: RunningBroker
    file: Path

    def turns(self, since: float) -> list[float]:
        """The CPU-seconds of each turn of its loop that ended since."""
        lines = [line.split() for line in self.file.read_text().splitlines()[:-1]]
        return [float(spent) for ended, spent in lines if float(ended) >= since]


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Probed]:
    home = tmp_path_factory.mktemp("load")
    key, file = home / "key", home / "turns"
    key.write_text(_KEY)
    with simulator_process(key) as url:
        program = ("-m", "tests.e2e.probed", str(file))
        upstream = ("--upstream", f"{url}/v1", "--upstream-key-file", str(key))
        broker = start_broker(home / "b", *upstream, program=program)
        yield Probed(broker, file)
        broker.stop()


@contextmanager
def attack(broker: RunningBroker, attacks: list[tuple[str, str]]) -> Iterator[None]:
    who = broker.identities["explorer"]
    told = {
        "https": broker.https,
        "grpc": broker.grpc,
        "ca": str(broker.ca),
        "cert": str(who.cert),
        "key": str(who.key),
        "token": broker.token("explorer"),
        "attacks": attacks,
    }
    command = [sys.executable, "-m", "tests.e2e.attacker", json.dumps(told)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            yield
            assert process.poll() is None
        finally:
            process.kill()


def sampled(ask: Callable[[], object], took: list[float], until: float) -> None:
    while time.monotonic() < until:
        begun = time.monotonic()
        ask()
        took.append(time.monotonic() - begun)
        time.sleep(0.02)


def measured(
    probed: Probed, attacks: list[tuple[str, str]], asked: dict[str, Callable[[], object]]
) -> tuple[dict[str, list[float]], list[float]]:
    """How long each of what is asked took, again and again beside the attacks, and the turns meanwhile."""
    took: dict[str, list[float]] = {name: [] for name in asked}
    for ask in asked.values():
        ask()
    with attack(probed.broker, attacks):
        time.sleep(0.5)
        begun = time.monotonic()
        threads = [
            threading.Thread(target=sampled, args=(ask, took[name], begun + SECONDS))
            for name, ask in asked.items()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return took, probed.turns(begun)


def _best_of_six(measure: Callable[[], tuple[dict[str, list[float]], list[float]]], limit: float) -> None:
    """No turn of the loop is ever long; nearly all are quick, and what is seen from outside is, once in six
    times at least: neighbours come and go.
    """
    for _ in range(6):
        took, turns = measure()
        figures = {name: [round(each, 3) for each in sorted(all_)[-3:]] for name, all_ in took.items()}
        figures["turns"] = sorted(turns)[-5:]
        assert max(turns) < 2 * LIMIT, figures
        if quantiles(turns, n=100)[98] < LIMIT and max(map(median, took.values())) < limit:
            return
    pytest.fail(f"slow in each of six measurements: {figures}")


@pytest.mark.parametrize("name", HOSTILE)
def test_health_answers_on_both_listeners_whatever_is_sent(probed: Probed, name: str) -> None:
    """Issue 12, A.2: everybody waited for 1 to 2.3 CPU-seconds a body, health included."""
    with probed.broker.http(None) as client, channel(probed.broker, "assistant") as opened:
        health = health_pb2_grpc.HealthStub(opened)
        asked: dict[str, Callable[[], object]] = {
            "https": lambda: client.get("/healthz").raise_for_status(),
            "grpc": lambda: health.Check(health_pb2.HealthCheckRequest(), timeout=30),
        }
        _best_of_six(lambda: measured(probed, HOSTILE[name], asked), LIMIT)


@pytest.mark.parametrize("listener", ["https", "grpc"])
def test_a_stream_of_20000_fast_events_keeps_no_call_waiting(probed: Probed, listener: str) -> None:
    """Issue 12, B.23: 1.1 CPU-seconds in which nobody else was served."""
    headers = bearer(probed.broker, "assistant")
    with probed.broker.http("assistant") as client:

        def call() -> None:
            client.post("/v1/chat/completions", json=SMALL, headers=headers).raise_for_status()

        attacks = [(listener, "a stream of 20,000 events")]
        _best_of_six(lambda: measured(probed, attacks, {"call": call}), 0.5)  # it waits some ten times


def test_readers_that_do_not_read_keep_no_new_client_out(probed: Probed) -> None:
    """Issue 12, B.23: 100 streams over each listener that nobody reads."""
    broker = probed.broker
    metadata = (*bearer(broker, "explorer").items(), ("x-sim-fault", "words:3000"))
    content = json.dumps({**SMALL, "stream": True}).encode()
    head = "".join(f"{name}: {value}\r\n" for name, value in metadata)
    request = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{head}"
        f"content-length: {len(content)}\r\n\r\n"
    ).encode() + content
    said = chat_pb2.ChatMessage(role=common_pb2.ROLE_USER, content=chat_pb2.ChatContent(text="hi"))
    asked = openai_pb2.StreamChatCompletionRequest(
        request=openai_pb2.CreateChatCompletionRequest(model="gpt-4o", messages=[said])
    )
    tls = broker.tls("explorer")
    with ExitStack() as stack:
        for _ in range(UNREAD):
            plain = socket.socket()
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            plain.connect(address(broker.https))
            secure = stack.enter_context(tls.wrap_socket(plain, server_hostname="127.0.0.1"))
            secure.sendall(request)
            assert secure.recv(12) == b"HTTP/1.1 200"
        stub = openai_pb2_grpc.OpenAIServiceStub(stack.enter_context(channel(broker, "explorer")))
        streams = [stub.StreamChatCompletion(asked, metadata=metadata) for _ in range(UNREAD)]
        assert all(dict(stream.initial_metadata()) for stream in streams)
        begun = time.monotonic()
        served = min(_newcomer(broker) for _ in range(3))
        for stream in streams:
            stream.cancel()
    turns = probed.turns(begun)
    assert served < 1
    assert max(turns) < 2 * LIMIT, sorted(turns)[-5:]


def _newcomer(broker: RunningBroker) -> float:
    """How long a client takes that was never here before: its handshakes and a call over each listener."""
    begun = time.monotonic()
    with broker.http("assistant") as client:
        headers = bearer(broker, "assistant")
        client.post("/v1/chat/completions", json=SMALL, headers=headers).raise_for_status()
    with channel(broker, "assistant", options=[("grpc.use_local_subchannel_pool", 1)]) as opened:
        health_pb2_grpc.HealthStub(opened).Check(health_pb2.HealthCheckRequest(), timeout=30)
    return time.monotonic() - begun
