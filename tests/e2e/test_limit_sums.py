"""What a broker says is taken of limits is what anybody can add up from its log, whatever has happened."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from broker.adapters.ledger.directory import LogDirectory
from tests.e2e.limiting import DEV, limit, limiting
from tests.e2e.raw import bearer
from tests.e2e.records import verify
from tests.running import RunningBroker, start_broker

CHAT: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
LIMITS = {
    "calls/hour": {"unit": "requests", "cap": 1000, "sliding_seconds": 3600},
    "calls/month": {"unit": "requests", "cap": 1000, "calendar": "month", "time_zone": "Asia/Kolkata"},
    "tokens/week": {"unit": "tokens", "cap": 300_000, "calendar": "week", "fit": True},
    "spend/day": {"unit": "micro_usd", "cap": 10_000_000, "window_seconds": 86_400},
    "streams": {"unit": "concurrent_streams", "cap": 2},
    "calls": {"unit": "concurrent_calls", "cap": 4},
    "watched": {"unit": "tokens", "cap": 1, "calendar": "day", "observe": True},
}
FAULTS = ("", "500", "cut:1", "end-without-done", "malformed-json", "error-event:1", "words:400", "left")
Sums = Counter[tuple[str, str]]


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[RunningBroker]:
    policies = limiting(tmp_path)
    limit(policies, "assistant", LIMITS)
    running = start_broker(tmp_path / "b", "--policies", str(policies), workers=2)
    yield running
    running.stop()


def _added_up(broker: RunningBroker) -> Sums:
    """By limit and unit: what each intent reserved, and for what has ended, what it used instead."""
    sums: Sums = Counter()
    reserved: dict[str, list[dict[str, Any]]] = {}
    for record in map(json.loads, (entry for _, entry in LogDirectory(broker.log).entries())):
        if record["type"] == "intent":
            reserved[record["call_id"]] = record.get("reserved", [])
            _add(sums, record.get("reserved", []), 1)
        elif record["type"] in ("outcome", "recovered"):
            for each in reserved.pop(record["call_id"]):
                _add(sums, [each], -1)
                _add(sums, [each | {"amount": _used(record, each)}], 1)
        _add(sums, record.get("adjusted", []), 1)
    return +sums


def _used(record: dict[str, Any], taken: dict[str, Any]) -> int:
    """What stays of it when the call is over; all of it where nobody knows, but nothing of what is held."""
    if taken["unit"].startswith("concurrent"):
        return 0
    if record["type"] == "recovered":
        return int(taken["amount"])
    told = {"requests": "requests_charged", "tokens": "tokens_charged", "micro_usd": "cost_micro_usd"}
    return int(record[told[taken["unit"]]])


def _add(sums: Sums, charges: list[dict[str, Any]], sign: int) -> None:
    for each in charges:
        sums[each["limit"], each["unit"]] += sign * each["amount"]


def _shown(broker: RunningBroker) -> Sums:
    with broker.http("operator") as client:
        limits = client.get("/limits").raise_for_status().json()["limits"]
    return +Counter({(each["limit"], each["unit"]): each["taken"] for each in limits})


def _call(broker: RunningBroker, fault: str, *, stream: bool) -> None:
    """One that ends so, or whose caller leaves."""
    headers = bearer(broker, "assistant") | ({"x-sim-fault": fault} if fault not in ("", "left") else {})
    with broker.http("assistant") as client, suppress(httpx.HTTPError):
        asked = client.stream("POST", "/v1/chat/completions", json=CHAT | {"stream": stream}, headers=headers)
        with asked as reply:
            if fault != "left":
                reply.read()


def _reset(broker: RunningBroker, name: str) -> None:
    with broker.http("operator") as client:
        assert client.post("/limits/reset", data={"limit": f"{DEV}/assistant {name}"}).status_code in (
            200,
            404,
        )


def _settles(broker: RunningBroker) -> Sums:
    """What both say, once nothing is under way."""
    ends = time.monotonic() + 15
    while True:
        added, shown = _added_up(broker), _shown(broker)
        held = [unit for _, unit in shown if unit.startswith("concurrent")]
        if added == shown and not held:
            return shown
        assert time.monotonic() < ends, [added - shown, shown - added, held, added]
        time.sleep(0.1)


def test_what_is_shown_is_what_the_log_adds_up_to(limited: RunningBroker) -> None:
    calls = [(fault, stream) for fault in FAULTS for stream in (False, True)]
    bearer(limited, "assistant")
    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(_call, limited, fault, stream=stream) for fault, stream in calls]
        done += [pool.submit(_reset, limited, name) for name in ("spend/day", "calls/hour", "spend/day")]
        for each in done:
            each.result()
    assert _settles(limited)
    with limited.http("assistant") as client:
        headers = bearer(limited, "assistant") | {"x-sim-fault": "slow-stream:60000"}
        with (
            suppress(httpx.HTTPError),
            client.stream(
                "POST", "/v1/chat/completions", json=CHAT | {"stream": True}, headers=headers
            ) as held,
        ):
            assert held.status_code == 200, held.read()
            for each in httpx.get(f"{limited.console}/status").json()["processes"]:
                if each["role"].startswith("worker"):
                    os.kill(each["pid"], signal.SIGKILL)
    before = _settles(limited)
    limited.kill_all()
    again = start_broker(limited.directory, "--policies", str(limited.directory.parent / "policies"))
    assert _settles(again) == before
    again.stop()
    assert verify(again.log).returncode == 0
