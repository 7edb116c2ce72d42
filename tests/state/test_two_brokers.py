"""Two brokers of two workers on one store: one budget, whatever becomes of any of them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import pytest

from broker.cli.devfiles import DevPaths
from broker.model.record import RecordType
from tests.e2e.limiting import MONTH, by_user, limit, limiting
from tests.e2e.records import entries, verify
from tests.e2e.upstreams import received, simulator_process
from tests.processes import children, program
from tests.running import RunningBroker
from tests.serving import KEY, served_broker
from tests.sizes import sized
from tests.state.server import RealStore

pytestmark = pytest.mark.servers

CHAT = "/v1/chat/completions"
ASKED = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 5}
CAP, CONNECTIONS = 100, 64
SECRET = b"0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    key = tmp_path_factory.mktemp("upstream") / "upstream.key"
    key.write_text(KEY)
    with simulator_process(key) as url:
        yield f"{url}/v1"


def _policies(home: Path) -> Path:
    policies = by_user(limiting(home))
    limit(policies, "assistant", {"few": {"unit": "requests", "cap": CAP, "window_seconds": MONTH}})
    return policies


@contextmanager
def brokers(
    home: Path, upstream: str, store: RealStore, names: Sequence[str]
) -> Iterator[list[RunningBroker]]:
    """Those of these names, of one deployment."""
    policies = _policies(home)
    state: dict[str, Any] = {
        "adapter": "valkey",
        "url": store.url,
        "ca": str(store.ca),
        "password_file": str(store.password_file),
        "deployment": "two-brokers",
        "wait_seconds": 1.0,  # the machine of a test has other things to do
    }
    with ExitStack() as ends:
        yield [
            ends.enter_context(
                served_broker(
                    home / name,
                    upstream,
                    {"adapter": "embedded", "directory": str(policies)},
                    workers=2,
                    state=state,
                    audit=_audit(home / name),
                    limits={"refusals_burst": 1_000_000},  # of one certificate, in all runs
                )
            )
            for name in names
        ]


def _audit(home: Path) -> dict[str, str]:
    """A log of its own name, and the key of commitments that all brokers of a deployment have."""
    places = DevPaths(home)
    places.prepare()
    keys = home / "audit-keys"
    keys.mkdir(mode=0o700, exist_ok=True)
    secret = keys / "commitment.key"
    if not secret.exists():
        secret.touch(0o600)
        secret.write_bytes(SECRET)
    return {"directory": str(places.log), "keys": str(keys), "origin": f"broker.example/{home.name}"}


def _ask(broker: RunningBroker, token: str) -> int:
    """On a connection of its own: any worker may get it."""
    with broker.http("assistant") as client:
        headers = {"authorization": f"Bearer {token}"}
        return client.post(CHAT, json=ASKED, headers=headers, timeout=30).status_code


def _token(broker: RunningBroker, user: str) -> str:
    return str(broker.ask_token("assistant", user=user).json()["access_token"])


def test_64_connections_over_two_brokers_spend_exactly_one_budget(
    tmp_path: Path, upstream: str, shared_store: RealStore
) -> None:
    before, runs = received(upstream)["count"], sized(2, 100)
    with (
        brokers(tmp_path, upstream, shared_store, ["one", "other"]) as both,
        ThreadPoolExecutor(CONNECTIONS) as callers,
    ):
        for run in range(runs):
            tokens = [_token(broker, f"user-{run}") for broker in both]
            turns = zip(cycle(both), cycle(tokens), range(CAP + 60), strict=False)
            codes = Counter(callers.map(lambda turn: _ask(turn[0], turn[1]), turns))
            assert codes == {200: CAP, 429: 60}
    assert received(upstream)["count"] - before == runs * CAP
    assert all(verify(broker.log).returncode == 0 for broker in both)


class Callers:
    """They go on, in turns at each broker, until one hears that nothing is left."""

    def __init__(self, brokers: Sequence[RunningBroker], user: str) -> None:
        self._turns = [(broker, _token(broker, user)) for broker in brokers]
        self.full = threading.Event()

    def run(self, number: int) -> None:
        broker, token = self._turns[number % len(self._turns)]
        while not self.full.is_set():
            with suppress(httpx.HTTPError):
                if _ask(broker, token) == httpx.codes.TOO_MANY_REQUESTS:
                    self.full.set()
            time.sleep(0.05)


def test_no_more_than_the_budget_is_spent_though_a_worker_a_broker_and_the_store_are_killed(
    tmp_path: Path, upstream: str, store: RealStore
) -> None:
    for run in range(sized(1, 100)):
        before = received(upstream)["count"]
        home = tmp_path / f"{run}"
        home.mkdir()
        with (
            brokers(home, upstream, store, [f"one-{run}", f"other-{run}"]) as both,
            ThreadPoolExecutor(CONNECTIONS) as threads,
        ):
            callers = Callers(both, f"killed-{run}")
            going = [threads.submit(callers.run, number) for number in range(CONNECTIONS)]
            steps: tuple[Callable[[], None], ...] = (
                lambda: os.kill(min(_workers(both[0])), signal.SIGKILL),
                lambda: _restart(store),
                both[1].kill_all,
            )
            for sent, step in zip((CAP // 5, CAP // 2, CAP * 3 // 4), steps, strict=True):
                _until_received(upstream, before + sent)
                step()
            assert callers.full.wait(60)
            for each in going:
                each.result()
            logs = [broker.log for broker in both]
        intents = [each for log in logs for each in entries(log) if each.record.type is RecordType.INTENT]
        assert len(intents) <= CAP
        assert received(upstream)["count"] - before <= CAP
        assert received(upstream)["count"] - before > CAP * 3 // 4


def _workers(broker: RunningBroker) -> list[int]:
    words = {
        pid: Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in children(broker.process.pid)
    }
    return [pid for pid, said in words.items() if b"worker" in said and program(pid)]


def _restart(store: RealStore) -> None:
    store.kill()
    store.start()


def _until_unready(broker: RunningBroker) -> None:
    """It has not heard for 5 s which tokens are revoked."""
    deadline = time.monotonic() + 20
    while (told := httpx.get(f"{broker.console}/readyz")).status_code == httpx.codes.OK:
        assert time.monotonic() < deadline, "it stays ready"
        time.sleep(0.1)
    assert "shared state" in told.text


def _until_received(upstream: str, count: int) -> None:
    deadline = time.monotonic() + 60
    while received(upstream)["count"] < count:
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


def test_a_store_that_hangs_is_told_to_callers_and_health_answers(
    tmp_path: Path, upstream: str, store: RealStore
) -> None:
    with brokers(tmp_path, upstream, store, ["one"]) as [broker]:
        token = _token(broker, "somebody")
        assert _ask(broker, token) == 200
        store.freeze()
        with broker.http("assistant") as client:
            reply = client.post(CHAT, json=ASKED, headers={"authorization": f"Bearer {token}"}, timeout=30)
        assert (reply.status_code, reply.json()["error"]["reason"]) == (503, "STATE_UNAVAILABLE")
        assert reply.headers["retry-after"] == "1"
        for path in ("/healthz", "/readyz"):
            assert httpx.get(f"{broker.console}{path}").status_code == 200
        _until_unready(broker)
        with broker.http("assistant") as client:
            reply = client.get("/v1/models", headers={"authorization": f"Bearer {token}"}, timeout=30)
        assert (reply.status_code, reply.json()["error"]["reason"]) == (503, "STATE_UNAVAILABLE")
        assert httpx.get(f"{broker.console}/healthz").status_code == 200
        store.thaw()
        deadline = time.monotonic() + 30
        while _ask(broker, token) != httpx.codes.OK:
            assert time.monotonic() < deadline, "it was not taken up again"
            time.sleep(0.1)
    kinds = {(each.record.type, each.record.reason) for each in entries(broker.log)}
    assert (RecordType.DENIED, "STATE_UNAVAILABLE") in kinds
