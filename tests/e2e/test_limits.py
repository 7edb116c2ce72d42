"""What policy can say of a limit, as callers of a running broker meet it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from broker.model.record import RecordType
from tests.e2e.limiting import limit, limited_broker, limiting
from tests.e2e.raw import bearer, connection, records
from tests.running import RunningBroker, start_broker

CALL_ID = "x-broker-call-id"
OURS = "x-broker-ratelimit-"
CHAT: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
LONG = [{"role": "user", "content": "word " * 250}]
LIMITS = {
    "assistant": {"streams": {"unit": "concurrent_streams", "cap": 2}},
    "batch": {
        "calls/day": {"unit": "requests", "cap": 2, "calendar": "day", "time_zone": "Asia/Kolkata"},
        "watched": {"unit": "requests", "cap": 1, "sliding_seconds": 86_400, "observe": True},
    },
    "auditor": {"tokens/day": {"unit": "tokens", "cap": 200, "calendar": "day", "fit": True}},
    "explorer": {"calls": {"unit": "concurrent_calls", "cap": 1}},
}


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    with limited_broker(tmp_path_factory.mktemp("limits"), LIMITS) as running:
        yield running


@contextmanager
def _open(
    broker: RunningBroker, identity: str, *, slow: bool = False, **fields: Any
) -> Iterator[httpx.Response]:
    """An answer whose body is not read; with `slow`, it goes on for a minute."""
    headers = bearer(broker, identity)
    if slow:
        headers["x-sim-fault"] = "slow-stream:60000"
    with (
        broker.http(identity) as client,
        client.stream("POST", "/v1/chat/completions", json=CHAT | fields, headers=headers) as reply,
    ):
        yield reply


def _ask(broker: RunningBroker, identity: str, **fields: Any) -> httpx.Response:
    with _open(broker, identity, **fields) as reply:
        reply.read()
        return reply


def _until(broker: RunningBroker, identity: str, status: int, **fields: Any) -> httpx.Response:
    """What is asked again until it is answered so: who ends a stream does not wait for its outcome."""
    ends = time.monotonic() + 10
    while (reply := _ask(broker, identity, **fields)).status_code != status:
        assert time.monotonic() < ends, reply.text
        time.sleep(0.05)
    return reply


def _told(broker: RunningBroker, reply: httpx.Response, *kinds: RecordType) -> list[dict[str, Any]]:
    """The records of a call, once these are among them."""
    ends = time.monotonic() + 10
    while True:
        found = records(broker, reply.headers[CALL_ID])
        if {*kinds} <= {each["type"] for each in found}:
            return [each for each in found if each["type"] in kinds]
        assert time.monotonic() < ends, found
        time.sleep(0.05)


def test_so_many_streams_are_open_at_once_and_calls_beside_them_are_not_counted(
    limited: RunningBroker,
) -> None:
    with ExitStack() as streams:
        for left in ("1", "0"):
            reply = streams.enter_context(_open(limited, "assistant", slow=True, stream=True))
            assert reply.status_code == 200, reply.read()
            assert reply.headers[f"{OURS}remaining-concurrent-streams"] == left
            assert f"{OURS}reset-concurrent-streams" not in reply.headers
        refused = _ask(limited, "assistant", stream=True)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert refused.json()["error"]["reason"] == "RATE_LIMITED"
        assert "under way" in refused.text
        beside = _ask(limited, "assistant")
        assert beside.status_code == 200
        assert f"{OURS}limit-concurrent-streams" not in beside.headers
    _until(limited, "assistant", 200, stream=True)


def test_a_call_that_has_ended_is_not_counted_any_more(limited: RunningBroker) -> None:
    assert [_ask(limited, "explorer").status_code for _ in range(3)] == [200] * 3
    with _open(limited, "explorer", slow=True, stream=True) as held:
        assert held.status_code == 200
        assert _ask(limited, "explorer").status_code == 429
    _until(limited, "explorer", 200)


def test_a_call_that_does_not_fit_is_sent_with_what_is_left(limited: RunningBroker) -> None:
    """The caller names no bound: the model's own is 16,384 tokens, the limit has 200."""
    for stream in (False, True):
        reply = _ask(limited, "auditor", stream=stream)
        assert reply.status_code == 200, reply.text
        [intent] = _told(limited, reply, RecordType.INTENT)
        [reserved] = intent["reserved"]
        left = int(reply.headers[f"{OURS}remaining-tokens"])
        assert reply.headers["x-broker-policy-revision"] == intent["policy_revision"]
        assert (left, 100 < reserved["amount"] <= 200) == (0, True)
        assert 0 < intent["fitted"] < reserved["amount"]
    refused = _until(limited, "auditor", 429, max_tokens=500, messages=LONG)
    assert refused.json()["error"]["reason"] == "RATE_LIMITED"


def test_a_day_is_one_of_the_calendar_that_policy_names_and_what_is_observed_refuses_nothing(
    limited: RunningBroker,
) -> None:
    body = {"model": "text-embedding-3-small", "input": "hello"}
    with limited.http("batch") as client:
        replies = [
            client.post("/v1/embeddings", json=body, headers=bearer(limited, "batch")) for _ in range(3)
        ]
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    reset = datetime.fromisoformat(replies[-1].json()["error"]["details"]["reset"])
    assert reset.astimezone(ZoneInfo("Asia/Kolkata")).strftime("%H:%M") == "00:00"
    assert replies[0].headers[f"{OURS}limit-requests"] == "2", "the observed one is not told"
    for reply in replies[:2]:
        _told(limited, reply, RecordType.OUTCOME)
    [first], [near, second] = (
        _told(limited, replies[0], RecordType.OUTCOME),
        _told(limited, replies[1], RecordType.LIMIT, RecordType.OUTCOME),
    )
    assert "limits_passed" not in first
    assert [name.rpartition(" ")[2] for name in second["limits_passed"]] == ["watched"]
    assert (near["reason"], near["cap"]) == ("nearly_used", 2)
    [taken] = near["taken"]
    assert (taken["limit"].rpartition(" ")[2], taken["amount"], taken["seconds"]) == ("calls/day", 2, 86_400)


def test_who_takes_nothing_of_a_stream_does_not_hold_it_for_ever(tmp_path: Path) -> None:
    policies = limiting(tmp_path)
    limit(policies, "assistant", {"streams": {"unit": "concurrent_streams", "cap": 1}})
    broker = start_broker(tmp_path / "b", "--policies", str(policies), first=_IMPATIENT)
    body = json.dumps(CHAT | {"stream": True, "n": 8}).encode()
    fields = {**bearer(broker, "assistant"), "x-sim-fault": "words:9000", "content-length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    asked = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{head}\r\n"
    with connection(broker, broker.tls("assistant"), broker.https) as unread:
        unread.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        unread.sendall(asked.encode() + body)
        assert unread.recv(12) == b"HTTP/1.1 200"
        assert _ask(broker, "assistant", stream=True).status_code == 429
        _until(broker, "assistant", 200, stream=True)
    broker.stop()


_IMPATIENT = """
from broker.listeners.https import exchange
exchange.STALLED_SECONDS = 0.5
"""
