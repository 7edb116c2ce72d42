"""A broker of several processes: one truth about limits and tokens, whatever becomes of one of them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from broker.gen.broker.v1 import audit_pb2, audit_pb2_grpc, chat_pb2, common_pb2, openai_pb2, openai_pb2_grpc
from broker.model.record import RecordType
from tests.born_parts import BEARING
from tests.bundle.signing import Author
from tests.e2e.limiting import MONTH, by_user, limit, limiting
from tests.e2e.raw import bearer, channel
from tests.e2e.records import entries, verify
from tests.e2e.upstreams import received, simulator_process
from tests.nursery import the_nursery
from tests.processes import children, program
from tests.running import SMALL_POLICIES, RunningBroker, start_broker
from tests.serving import served_broker
from tests.sizes import sized

CHAT = "/v1/chat/completions"
ASKED = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 5}
_SAID = chat_pb2.ChatMessage(role=common_pb2.ROLE_USER, content=chat_pb2.ChatContent(text="hello"))
CAP = 20


@dataclass(frozen=True)
class Processes:
    """Those of a running broker, by what they do, as its console tells."""

    broker: RunningBroker

    @property
    def supervisor(self) -> int:
        return self.broker.process.pid

    @property
    def workers(self) -> set[int]:
        """Those that serve, or did until now."""
        return {pid for role, pid in self._told() if role.startswith("worker") and pid}

    @property
    def coordinator(self) -> int:
        return dict(self._told())["coordinator"]

    @property
    def writer(self) -> int:
        return dict(self._told())["log writer"]

    def all(self) -> set[int]:
        """Each of them."""
        return {self.supervisor, self.coordinator, self.writer, *self.workers}

    def _told(self) -> list[tuple[str, int]]:
        told = httpx.get(f"{self.broker.console}/status").json()["processes"]
        return [(each["role"], each["pid"]) for each in told]


def _gone(pids: set[int]) -> bool:
    return not {pid for pid in pids if program(pid)}


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    key = tmp_path_factory.mktemp("upstream") / "upstream.key"
    key.write_text("sk-workers-0123456789abcdefghijklm")
    with simulator_process(key) as url:
        yield f"{url}/v1", key


@contextmanager
def _running(
    home: Path,
    upstream: tuple[str, Path],
    *,
    workers: int = 2,
    policies: Path | None = None,
    first: str = BEARING,
) -> Iterator[RunningBroker]:
    """One of several workers, ended at last; its processes are born, but where `first` is something else."""
    url, key = upstream
    rules = ("--policies", str(policies)) if policies else SMALL_POLICIES
    arguments = ("--upstream", url, "--upstream-key-file", str(key), *rules)
    broker = start_broker(home / "b", *arguments, workers=workers, first=first)
    try:
        yield broker
    finally:
        broker.stop()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, upstream: tuple[str, Path]) -> Iterator[RunningBroker]:
    with _running(tmp_path_factory.mktemp("shared"), upstream, first="") as broker:
        yield broker


def _ask(broker: RunningBroker, token: str, **fields: Any) -> httpx.Response:
    """On a connection of its own: any worker may get it."""
    with broker.http("assistant") as client:
        return client.post(
            CHAT, json={**ASKED, **fields}, headers={"authorization": f"Bearer {token}"}, timeout=30
        )


def _until(true: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


def test_the_processes_are_as_the_documents_say(shared: RunningBroker) -> None:
    processes = Processes(shared)
    assert len(processes.workers) == 2
    assert set(children(processes.supervisor)) == {processes.coordinator, *processes.workers}
    assert {program(pid) for pid in children(processes.supervisor)} == {"broker.app"}
    assert children(processes.coordinator) == [processes.writer]
    assert program(processes.writer) == "broker.adapters.ledger"


def test_status_shows_each_process_with_its_calls(shared: RunningBroker) -> None:
    processes, before = Processes(shared), _told(shared)
    assert {each["pid"] for each in before} == processes.all()
    assert [each["role"] for each in before][:3] == ["supervisor", "coordinator", "log writer"]
    assert all(each["memory_bytes"] > 0 and each["since"] > time.time() - 3600 for each in before)
    for _ in range(4):
        assert _ask(shared, shared.token("assistant")).status_code == 200
    begun = sum(each["calls"] for each in before)
    _until(lambda: sum(each["calls"] for each in _told(shared)) == begun + 4)
    shown = the_nursery().spawn("status", "--console", shared.console).done()
    assert shown.returncode == 0
    assert shown.stdout.rstrip().endswith("ready")


def _told(broker: RunningBroker) -> list[dict[str, Any]]:
    shown = the_nursery().spawn("status", "--console", broker.console, "--json").done()
    told: dict[str, Any] = json.loads(shown.stdout)
    assert told["missing"] == ""
    return list(told["processes"])


def test_status_of_no_broker_says_what_to_try() -> None:
    shown = the_nursery().spawn("status", "--console", "http://127.0.0.1:9").done()
    assert shown.returncode == 3
    assert "server.console" in shown.stderr


def test_every_worker_serves_both_listeners(shared: RunningBroker) -> None:
    """Seen by what each of them has counted: the sum is of all calls, and not all are one worker's."""
    before = _calls_counted(shared)
    token = shared.token("assistant")
    with ThreadPoolExecutor(8) as callers:
        replies = list(callers.map(lambda _: _ask(shared, token), range(60)))
    assert {reply.status_code for reply in replies} == {200}
    for _ in range(10):
        _over_grpc(shared, token)
    assert _calls_counted(shared) - before == 70


def _calls_counted(broker: RunningBroker) -> float:
    lines = httpx.get(f"{broker.console}/metrics").text.splitlines()
    counted = [line for line in lines if line.startswith("broker_records_total") and 'type="outcome"' in line]
    return sum(float(line.rpartition(" ")[2]) for line in counted)


def _over_grpc(broker: RunningBroker, token: str) -> None:
    asked = openai_pb2.CreateChatCompletionRequest(model="gpt-4o-mini", messages=[_SAID])
    with channel(broker, "assistant") as opened:
        stub = openai_pb2_grpc.OpenAIServiceStub(opened)
        stub.CreateChatCompletion(
            asked, metadata=(("authorization", f"Bearer {token}"),), timeout=30, wait_for_ready=True
        )


def test_a_token_that_is_revoked_is_refused_by_every_worker_from_then_on(shared: RunningBroker) -> None:
    token = shared.ask_token("assistant").json()["access_token"]
    assert {_ask(shared, token).status_code for _ in range(10)} == {200}
    with shared.http("assistant") as client:
        client.post("/oauth/revoke", data={"token": token}).raise_for_status()
    reasons = [_ask(shared, token).json()["error"]["reason"] for _ in range(20)]
    assert set(reasons) == {"TOKEN_REVOKED"}


def test_a_revoked_token_ends_open_streams_of_every_worker_within_a_second(shared: RunningBroker) -> None:
    token = shared.ask_token("assistant").json()["access_token"]
    ended: list[float] = []
    begun = threading.Semaphore(0)

    def listen(_: int) -> None:
        headers = {"authorization": f"Bearer {token}", "x-sim-fault": "slow-stream:60000"}
        with (
            shared.http("assistant") as client,
            client.stream("POST", CHAT, json={**ASKED, "stream": True}, headers=headers, timeout=30) as reply,
            suppress(httpx.RemoteProtocolError),
        ):
            for _part in reply.iter_raw():
                begun.release()
        ended.append(time.monotonic())

    with ThreadPoolExecutor(8) as callers:
        list(map(callers.submit, [listen] * 8, range(8)))
        for _ in range(8):
            assert begun.acquire(timeout=20)
        with shared.http("assistant") as client:
            revoked = time.monotonic()
            client.post("/oauth/revoke", data={"token": token}).raise_for_status()
    assert max(ended) - revoked < 2, "a second, on a machine that does other things"


def test_a_call_is_read_at_once_whichever_worker_made_it(shared: RunningBroker) -> None:
    token = shared.token("assistant")
    with channel(shared, "auditor") as opened:
        audit = audit_pb2_grpc.AuditServiceStub(opened)
        for _ in range(12):
            call_id = _ask(shared, token).headers["x-broker-call-id"]
            found = audit.GetRecord(audit_pb2.GetRecordRequest(call_id=call_id), timeout=20)
            assert [entry.record.type for entry in found.entries] == ["intent", "outcome"]


def test_what_any_process_tells_its_operator_is_told_at_once(
    tmp_path: Path, upstream: tuple[str, Path]
) -> None:
    policies = shutil.copytree(SMALL_POLICIES[1], tmp_path / "policies")
    with _running(tmp_path, upstream, policies=policies) as broker:
        with (policies / "calls.rego").open("a") as rules:
            rules.write("\nbroken := [\n")
        _until(lambda: broker.errors.read_text().count('"policy_refused"') == 2)
        lines = [line for line in broker.errors.read_text().splitlines() if line.startswith("{")]
        assert all(json.loads(line)["event"] for line in lines), "no line of one is within another's"
        _until(lambda: "broker_policy_refused 1.0" in httpx.get(f"{broker.console}/metrics").text)
        _until(lambda: "Newer policies are refused" in httpx.get(broker.console).text)


def test_an_opa_finds_the_signed_bundle_at_the_console(tmp_path: Path, upstream: tuple[str, Path]) -> None:
    author = Author.at(tmp_path / "author")
    author.publish("first")
    policy = {"bundle": str(author.bundle), "verification_key": str(author.public_key)}
    with served_broker(tmp_path / "b", upstream[0], policy, workers=2, first=BEARING) as broker:
        assert httpx.get(f"{broker.console}/bundles/broker.tar.gz").content == author.bundle.read_bytes()
        author.publish("second")
        _until(lambda: "second" in httpx.get(broker.console).text)
        _until(
            lambda: httpx.get(f"{broker.console}/bundles/broker.tar.gz").content == author.bundle.read_bytes()
        )


def _limited(home: Path) -> Path:
    """Policies that let the assistant make CAP calls a month."""
    policies = limiting(home)
    limit(policies, "assistant", {"few": {"unit": "requests", "cap": CAP, "window_seconds": MONTH}})
    return policies


@pytest.mark.parametrize("workers", [2, 4])
def test_a_cap_is_exact_over_all_workers(tmp_path: Path, upstream: tuple[str, Path], workers: int) -> None:
    before = received(upstream[0])["count"]
    with _running(tmp_path, upstream, workers=workers, policies=_limited(tmp_path)) as broker:
        token = broker.token("assistant")
        with ThreadPoolExecutor(16) as callers:
            replies = Counter(
                reply.status_code for reply in callers.map(lambda _: _ask(broker, token), range(3 * CAP))
            )
    assert replies == {200: CAP, 429: 2 * CAP}
    assert received(upstream[0])["count"] - before == CAP
    assert verify(broker.log).returncode == 0


def test_a_cap_is_exact_in_every_run(tmp_path: Path, upstream: tuple[str, Path]) -> None:
    """64 connections on 2 workers, a budget of CAP for each run, and 100 runs at full size."""
    before, runs = received(upstream[0])["count"], sized(3, 100)
    with (
        _running(tmp_path, upstream, policies=by_user(_limited(tmp_path))) as broker,
        ThreadPoolExecutor(64) as callers,
    ):
        for run in range(runs):
            token = broker.ask_token("assistant", user=f"user-{run}").json()["access_token"]
            replies = callers.map(partial(_ask, broker), [token] * 64)
            codes = Counter(reply.status_code for reply in replies)
            assert codes == {200: CAP, 429: 64 - CAP}
    assert received(upstream[0])["count"] - before == runs * CAP
    assert verify(broker.log).returncode == 0


def test_no_more_than_the_cap_is_sent_however_often_a_worker_is_killed(
    tmp_path: Path, upstream: tuple[str, Path]
) -> None:
    """What a killed worker had reserved stays: upstream may have had it."""
    before = received(upstream[0])["count"]
    with _running(tmp_path, upstream, policies=_limited(tmp_path)) as broker:
        processes, token = Processes(broker), broker.token("assistant")
        load = Load(broker)
        refused = threading.Event()

        def ask() -> None:
            if _ask(broker, token).status_code == httpx.codes.TOO_MANY_REQUESTS:
                refused.set()
            time.sleep(0.1)

        with load.of(8, ask):
            for kill_after in (CAP // 4, CAP // 2):
                while received(upstream[0])["count"] - before < kill_after:
                    time.sleep(0.02)
                os.kill(min(processes.workers), signal.SIGKILL)
            assert refused.wait(60)
    intents = [entry for entry in entries(broker.log) if entry.record.type is RecordType.INTENT]
    assert len(intents) == CAP
    assert received(upstream[0])["count"] - before <= CAP
    assert verify(broker.log).returncode == 0


@dataclass
class Load:
    """Callers that go on until they are told to stop; `failed` is what they could not do."""

    broker: RunningBroker
    done: int = 0
    failed: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def of(self, callers: int, ask: Callable[[], None]) -> Iterator[None]:
        threads = [threading.Thread(target=self._go_on, args=(ask,)) for _ in range(callers)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def _go_on(self, ask: Callable[[], None]) -> None:
        while not self._over.is_set():
            try:
                ask()
                self.done += 1
            except (httpx.HTTPError, grpc.RpcError, AssertionError) as error:
                self.failed.append(f"{type(error).__name__}: {error}")


def test_a_worker_that_is_killed_takes_its_own_calls_alone_and_another_comes(
    tmp_path: Path, upstream: tuple[str, Path]
) -> None:
    with _running(tmp_path, upstream) as broker:
        processes = Processes(broker)
        token = broker.token("assistant")
        first, others = processes.workers, processes.all() - processes.workers
        load = Load(broker)

        def ask() -> None:
            assert _ask(broker, token).status_code == 200

        with load.of(4, ask):
            _until(lambda: load.done > 20)
            os.kill(min(first), signal.SIGKILL)
            _until(lambda: len(processes.workers - first) == 1)
            after = load.done
            _until(lambda: load.done > after + 40)
        assert len(load.failed) <= 4, load.failed  # what it was at work on
        assert all("Protocol" in why or "Read" in why or "Connect" in why for why in load.failed)
        assert processes.all() - processes.workers == others
        assert max(first) in processes.workers
    held = entries(broker.log)
    kinds = Counter(entry.record.type for entry in held)
    assert kinds[RecordType.INTENT] == kinds[RecordType.OUTCOME] + kinds[RecordType.RECOVERED]
    assert kinds[RecordType.START] == kinds[RecordType.CLOSE] == 1
    assert verify(broker.log).returncode == 0


def test_workers_are_replaced_without_a_failed_call(tmp_path: Path, upstream: tuple[str, Path]) -> None:
    with _running(tmp_path, upstream) as broker:
        processes = Processes(broker)
        token = broker.token("assistant")
        first, load = processes.workers, Load(broker)

        def ask() -> None:
            assert _ask(broker, token).status_code == 200

        with load.of(3, ask), load.of(1, lambda: _over_grpc(broker, token)):
            _until(lambda: load.done > 10)
            os.kill(processes.supervisor, signal.SIGHUP)
            _until(lambda: not first & processes.workers and len(processes.workers) == 2, 60)
            after = load.done
            _until(lambda: load.done > after + 20)
        assert load.failed == []
    assert verify(broker.log).returncode == 0


@pytest.mark.parametrize("who", ["writer", "coordinator"])
def test_where_the_log_is_lost_all_end(tmp_path: Path, upstream: tuple[str, Path], who: str) -> None:
    with _running(tmp_path, upstream) as broker:
        processes = Processes(broker)
        every = processes.all()
        os.kill(getattr(processes, who), signal.SIGKILL)
        assert broker.process.wait(30) == 1
        _until(lambda: _gone(every))
    with _running(tmp_path, upstream) as again:
        assert _ask(again, again.token("assistant")).status_code == 200
    assert verify(again.log).returncode == 0


def test_a_supervisor_that_is_killed_leaves_no_process_and_a_closed_log(
    tmp_path: Path, upstream: tuple[str, Path]
) -> None:
    with _running(tmp_path, upstream) as broker:
        every = Processes(broker).all()
        assert _ask(broker, broker.token("assistant")).status_code == 200
        broker.process.kill()
        _until(lambda: _gone(every), 40)
    assert entries(broker.log)[-1].record.type is RecordType.CLOSE
    assert verify(broker.log).returncode == 0


def test_the_end_lets_streams_finish_and_records_them(tmp_path: Path, upstream: tuple[str, Path]) -> None:
    with _running(tmp_path, upstream) as broker:
        headers = {**bearer(broker, "assistant"), "x-sim-fault": "slow-stream:200"}
        with (
            broker.http("assistant") as client,
            client.stream("POST", CHAT, json={**ASKED, "stream": True}, headers=headers, timeout=30) as reply,
        ):
            parts = reply.iter_text()
            heard = next(parts)
            broker.process.send_signal(signal.SIGTERM)
            heard += "".join(parts)
        assert "[DONE]" in heard
        assert broker.process.wait(30) == 0
        call_id = reply.headers["x-broker-call-id"]
    mine = [entry.record for entry in entries(broker.log) if entry.record.call_id == call_id]
    assert [record.type.value for record in mine] == ["intent", "outcome"]
    assert mine[-1].error is None
    assert verify(broker.log).returncode == 0


def test_a_certificate_that_is_refused_too_often_is_refused_by_every_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many processes it asks, it costs what it may cost one."""
    monkeypatch.setenv("BROKER__LIMITS__REFUSALS_BURST", "30")
    monkeypatch.setenv("BROKER__LIMITS__REFUSALS_PER_SECOND", "0.1")
    form = {"grant_type": "client_credentials", "scope": "chat:gpt-4o"}
    broker = start_broker(tmp_path / "b", *SMALL_POLICIES, workers=2)
    try:
        with broker.http("intruder") as one:  # one connection: one worker
            statuses = [one.post("/oauth/token", data=form).status_code for _ in range(40)]
        assert statuses.count(429) >= 8
        time.sleep(2)  # they tell each other each half second
        for _ in range(20):
            with broker.http("intruder") as another:
                assert another.post("/oauth/token", data=form).status_code == 429
        broker.token("assistant")  # others are not meant
    finally:
        broker.stop()
