"""What was spent outlives the broker: a real one, with limits of requests, tokens and money, ended anyhow."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from broker.model.record import RecordType
from tests.e2e.limiting import MONTH, limit, limiting
from tests.e2e.raw import bearer, records
from tests.e2e.records import entries
from tests.e2e.upstreams import received, simulator_process
from tests.running import RunningBroker, start_broker

POLICIES = Path(__file__).parents[2] / "policies"
LIMITS = {
    "assistant": {"requests/month": {"unit": "requests", "cap": 3, "window_seconds": MONTH}},
    "batch": {"tokens/month": {"unit": "tokens", "cap": 100, "window_seconds": MONTH}},
    "explorer": {"spend/month": {"unit": "micro_usd", "cap": 700, "window_seconds": MONTH}},
}
"""One call of `explorer` is worth 600 at most, and a whole one of the simulator's costs some."""
NOWHERE = "http://127.0.0.1:9/v1"


@dataclass(frozen=True)
class Limited:
    """A home of brokers whose callers may spend little."""

    home: Path
    upstream: str
    key: Path

    def start(self, upstream: str | None = None) -> RunningBroker:
        policies = ("--policies", str(self.home / "policies"))
        return start_broker(
            self.home / "b",
            *policies,
            *("--upstream", upstream or self.upstream, "--upstream-key-file", str(self.key)),
        )

    def limit(self, identity: str, limits: dict[str, Any]) -> None:
        """What it may spend from the next start on."""
        limit(self.home / "policies", identity, limits)

    def forget(self) -> None:
        """Removes the file of what was spent."""
        files = list((self.home / "b/keys").rglob("spent-*"))
        assert files
        for each in files:
            each.unlink()


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Limited]:
    limiting(tmp_path)
    key = tmp_path / "upstream.key"
    key.write_text("sk-spent-0123456789abcdefghijklmnop")
    with simulator_process(key) as url:
        made = Limited(tmp_path, f"{url}/v1", key)
        for identity, limits in LIMITS.items():
            made.limit(identity, limits)
        yield made


@contextmanager
def _asking(broker: RunningBroker, identity: str, token: str = "", **fields: Any) -> Iterator[httpx.Response]:
    embeds = identity == "batch"
    path, said = ("embeddings", {"input": "word " * 40}) if embeds else ("chat/completions", {})
    model = "text-embedding-3-small" if embeds else "gpt-4o-mini"
    chat = {} if embeds else {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 1000}
    body = {"model": model, **chat, **said, **fields}
    headers = bearer(broker, identity)
    if fields.get("stream"):
        headers["x-sim-fault"] = "slow-stream:60000"
    if token:
        headers["authorization"] = f"Bearer {token}"
    with (
        broker.http(identity) as client,
        client.stream("POST", f"/v1/{path}", json=body, headers=headers) as reply,
    ):
        yield reply


def _ask(broker: RunningBroker, identity: str) -> httpx.Response:
    with _asking(broker, identity) as reply:
        reply.read()
        return reply


def _refusal(reply: httpx.Response) -> dict[str, Any]:
    assert reply.status_code == 429, reply.text
    error: dict[str, Any] = reply.json()["error"]
    return error


def _used_up(broker: RunningBroker) -> dict[str, dict[str, Any]]:
    """Spends all that there is; how each caller is then refused."""
    for identity, calls in (("assistant", 3), ("batch", 2)):
        for _ in range(calls):
            assert _ask(broker, identity).status_code == 200
    return {identity: _refusal(_ask(broker, identity)) for identity in ("assistant", "batch")}


@pytest.mark.parametrize(
    ("end", "forget"), [("kill", False), ("kill_all", False), ("kill_all", True), ("stop", False)]
)
def test_a_caller_cannot_get_a_fresh_budget_by_crashing_the_broker(
    limited: Limited, end: str, forget: bool
) -> None:
    broker = limited.start()
    refused = _used_up(broker)
    assert [each["reason"] for each in refused.values()] == ["RATE_LIMITED", "RATE_LIMITED"]
    assert _ask(broker, "explorer").status_code == 200
    with _asking(broker, "explorer", stream=True) as stream:
        lines = stream.iter_lines()
        next(lines)
        refused["explorer"] = _refusal(_ask(broker, "explorer"))
        assert refused["explorer"]["reason"] == "BUDGET_EXCEEDED"
        getattr(broker, end)()
    if forget:
        limited.forget()
    again = limited.start()
    try:
        if end == "stop":
            del refused["explorer"]  # its stream was ended in order, and charged what was delivered
        assert {each: _refusal(_ask(again, each)) for each in refused} == refused
    finally:
        again.stop()


def test_a_cut_call_counts_its_worst_case_and_what_upstream_never_saw_comes_back(limited: Limited) -> None:
    """Also after the restart after the restart."""
    nowhere = limited.start(NOWHERE)
    unsent = _ask(nowhere, "explorer")
    assert unsent.json()["error"]["reason"] == "UPSTREAM_UNAVAILABLE"
    nowhere.kill_all()
    broker = limited.start()
    with _asking(broker, "explorer", stream=True) as stream:  # all of the budget is there
        lines = stream.iter_lines()
        next(lines)
        call_id = stream.headers["x-broker-call-id"]
        broker.kill_all()
    for _ in range(2):
        broker = limited.start()
        assert _refusal(_ask(broker, "explorer"))["reason"] == "BUDGET_EXCEEDED"
        assert [each["type"] for each in records(broker, call_id)] == ["intent", "limit", "recovered"]
        broker.kill_all()


def test_no_more_than_the_cap_is_sent_however_often_the_broker_is_killed(limited: Limited) -> None:
    """By eight callers at once; what a kill cut off has counted, and in the end nothing is left over."""
    cap = 60
    limited.limit("assistant", {"all": {"unit": "requests", "cap": cap, "window_seconds": MONTH}})
    for kill_after in (15, 35, None):
        broker = limited.start()
        broker.token("assistant")
        with ThreadPoolExecutor(8) as callers:
            ended = [callers.submit(_until_refused, broker) for _ in range(8)]
            if kill_after is not None:
                while received(limited.upstream)["count"] < kill_after:
                    time.sleep(0.005)
                broker.kill_all()
        refused = sum(each.result() for each in ended)
        assert refused == (8 if kill_after is None else 0)
        assert received(limited.upstream)["count"] <= cap
    broker.stop()
    intents = [each for each in entries(broker.log) if each.record.type is RecordType.INTENT]
    assert len(intents) == cap


def _until_refused(broker: RunningBroker) -> bool:
    """Calls on; whether a limit ended it, and not the end of the broker."""
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 5}
    with broker.http("assistant") as client, suppress(httpx.TransportError):
        while True:
            reply = client.post("/v1/chat/completions", json=body, headers=bearer(broker, "assistant"))
            if reply.status_code == httpx.codes.TOO_MANY_REQUESTS:
                assert _refusal(reply)["reason"] == "RATE_LIMITED"
                return True
            assert reply.status_code == httpx.codes.OK, reply.text
    return False


def test_a_restart_in_the_next_window_counts_nothing(limited: Limited) -> None:
    window = 12
    limited.limit("assistant", {"few": {"unit": "requests", "cap": 1, "window_seconds": window}})
    broker = limited.start()
    time.sleep(window - time.time() % window)
    assert _ask(broker, "assistant").status_code == 200
    broker.kill_all()
    ended = time.time() // window * window + window
    broker = limited.start()
    try:
        refused = _ask(broker, "assistant") if time.time() < ended - 1 else None
        assert refused is None or _refusal(refused)["reason"] == "RATE_LIMITED"
        time.sleep(max(0.0, ended - time.time()))
        assert _ask(broker, "assistant").status_code == 200
    finally:
        broker.stop()


def test_the_name_of_a_user_that_is_personal_data_is_counted_on_under_its_commitment(
    limited: Limited,
) -> None:
    shutil.copytree(POLICIES, limited.home / "policies", dirs_exist_ok=True)
    path = limited.home / "policies/data.json"
    data = json.loads(path.read_text())
    data["roles"]["assistant"]["limits_by"] = {
        "user": {"few": {"unit": "requests", "cap": 1, "window_seconds": MONTH}}
    }
    data["roles"]["assistant"]["limits"] = {}
    path.write_text(json.dumps(data))
    broker = limited.start()
    anna, ben = (
        broker.ask_token("assistant", user=user, ttl="3600").json()["access_token"]
        for user in ("anna.schmidt@example.org", "ben.schmidt@example.org")
    )
    with _asking(broker, "assistant", anna) as reply:
        assert reply.status_code == 200
        intent, near, _ = records(broker, reply.headers["x-broker-call-id"])
    [reserved], [taken] = intent["reserved"], near["taken"]
    assert (near["type"], taken["limit"]) == ("limit", reserved["limit"])
    assert (reserved["unit"], reserved["amount"], len(reserved["limit"])) == ("requests", 1, 43)
    broker.kill_all()
    again = limited.start()
    try:
        with _asking(again, "assistant", anna) as reply:
            reply.read()
            assert _refusal(reply)["reason"] == "RATE_LIMITED"
        with _asking(again, "assistant", ben) as reply:
            assert reply.status_code == 200
    finally:
        again.stop()
