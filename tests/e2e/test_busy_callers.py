"""What one caller sends keeps no other's calls waiting; `test_hostile_load` asks health."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.e2e.raw import bearer
from tests.running import RunningBroker

CHAT = "/v1/chat/completions"
_HEAD = b'{"model":"gpt-4o","messages":[{"role":"user","content":"'
ATTACKS: dict[str, tuple[str, bytes]] = {
    "a table of digits": (CHAT, _HEAD + b"2 " * 500_000 + b'"}]}'),
    "a long text": (CHAT, _HEAD + b"hello, world " * 1_200_000 + b'"}]}'),
}


@contextmanager
def attack(broker: RunningBroker, name: str, at_once: int = 3) -> Iterator[None]:
    """The explorer sends this again and again, over several connections."""
    path, body = ATTACKS[name]
    headers = {**bearer(broker, "explorer"), "content-type": "application/json"}
    over = threading.Event()

    def send() -> None:
        with broker.http("explorer") as client:
            while not over.is_set():
                client.post(path, content=body, headers=headers)

    threads = [threading.Thread(target=send) for _ in range(at_once)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.5)
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("name", ["a table of digits", "a long text"])
def test_a_victims_large_call_is_served_beside_a_greedy_caller(broker: RunningBroker, name: str) -> None:
    """Issue 12, A.2: a 200 KB call timed out behind the bodies of another."""
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello " * 34_000}]}
    headers = bearer(broker, "assistant")
    with broker.http("assistant") as client, attack(broker, name, at_once=6):
        begun = time.monotonic()
        reply: httpx.Response = client.post(CHAT, json=body, headers=headers)
        took = time.monotonic() - begun
    assert reply.status_code == 200, reply.text
    assert took < 10
