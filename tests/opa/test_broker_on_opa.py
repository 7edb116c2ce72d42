"""A whole broker on a real OPA: OPA decides, and while it fails no call reaches the upstream."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from broker.model.record import RecordType
from tests import plain
from tests.bundle.signing import Author
from tests.e2e.raw import bearer
from tests.e2e.records import by_call, entries
from tests.e2e.test_bundle_reload import CHAT, REPLY
from tests.e2e.upstreams import DONE, Exchange, ScriptedUpstream, chat_event, scripted_upstream
from tests.opa.sidecar import ROOT, RunningOpa, opa_binary
from tests.opa.switch import FAULTS, Fault, Switch, switch
from tests.running import RunningBroker
from tests.serving import served_broker

pytestmark = pytest.mark.servers

DEV = "spiffe://dev.broker/ns/demo/sa"
DEADLINE = 0.05
NOISE = 0.5  # seconds that a busy machine may add; `python -m tests.bench.refusals` has the figure
RESUMES = 2.0
CUT_SECONDS = 1.0


@dataclass(frozen=True)
class OnOpa:
    """A broker that asks OPA through a switch, and serves it the author's bundle."""

    broker: RunningBroker
    opa: RunningOpa
    switch: Switch
    upstream: ScriptedUpstream
    author: Author

    def chat(self) -> httpx.Response:
        """One call of the explorer, who may make it."""
        with self.broker.http("explorer") as client:
            return client.post("/v1/chat/completions", json=CHAT, headers=bearer(self.broker, "explorer"))

    def ready(self) -> httpx.Response:
        return plain.get(f"{self.broker.console}/readyz")

    def until(self, what: Callable[[], bool], seconds: float = 60) -> float:
        """Seconds until it is so."""
        begun = time.monotonic()
        while not what():
            assert time.monotonic() - begun < seconds, "it never came to that"
            time.sleep(0.02)
        return time.monotonic() - begun

    def refuses(self) -> None:
        """Calls are refused in time, none reaches the upstream, and readiness names OPA."""
        before = len(self.upstream.paths)
        for _ in range(8):
            begun = time.monotonic()
            reply = self.chat()
            assert time.monotonic() - begun < DEADLINE + NOISE
            assert (reply.status_code, reply.json()["error"]["code"]) == (503, "policy_engine_unavailable")
        self.until(lambda: self.ready().status_code == 503, 1)
        assert "OPA" in self.ready().text
        assert len(self.upstream.paths) == before

    def resumes(self) -> None:
        served = self.until(lambda: self.chat().status_code == 200, 5)
        assert served + self.until(lambda: self.ready().status_code == 200, 5) < RESUMES


@pytest.fixture(scope="module")
def on_opa(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnOpa]:
    home = tmp_path_factory.mktemp("on-opa")
    author = Author.at(home / "author")
    opa = FetchingOpa(author.bundle, "")
    policy = {"adapter": "opa", "bundle": str(author.bundle), "verification_key": str(author.public_key)}
    with ExitStack() as stack:
        upstream = stack.enter_context(scripted_upstream())
        upstream.answer(lambda exchange: exchange.whole(200, REPLY))
        between = stack.enter_context(switch(opa.port))
        section = {"url": between.url}
        broker = stack.enter_context(served_broker(home / "b", upstream.url, policy, opa=section))
        opa.configure(broker.console, author.public_key)
        opa.start()
        stack.callback(opa.kill)
        made = OnOpa(broker, opa, between, upstream, author)
        made.until(lambda: made.ready().status_code == 200)
        yield made


@dataclass
class FetchingOpa(RunningOpa):
    """OPA with the example configuration: it fetches its bundle from the broker's console, and
    verifies it.
    """

    def configure(self, console: str, public_key: Path) -> None:
        self.command = [opa_binary(), "run", "--server", "--addr", f"127.0.0.1:{self.port}"]
        self.command += ["--config-file", str(ROOT / "deploy/opa/opa.yaml"), "--log-level", "error"]
        self.command += ["--set", f"services.broker.url={console}"]
        self.command += ["--set-file", f"keys.broker.key={public_key}"]


def test_opa_decides_and_every_record_names_its_bundle(on_opa: OnOpa) -> None:
    reply = on_opa.chat()
    assert reply.status_code == 200
    records = [entry.record for entry in by_call(on_opa.broker.log)[reply.headers["x-broker-call-id"]]]
    config = [e.record for e in entries(on_opa.broker.log) if e.record.type is RecordType.CONFIG][-1]
    assert {record.policy_revision for record in records} == {"first"}
    assert {record.policy_sha256 for record in records} == {config.policy_sha256}
    with on_opa.broker.http("batch") as client:
        denied = client.post("/v1/chat/completions", json=CHAT, headers=bearer(on_opa.broker, "batch"))
    assert denied.status_code == 403


@pytest.mark.parametrize("name", FAULTS)
def test_no_call_goes_on_while_opa_answers_wrongly(on_opa: OnOpa, name: str) -> None:
    on_opa.switch.turn(FAULTS[name])
    try:
        on_opa.refuses()
    finally:
        on_opa.switch.turn(None)
    on_opa.resumes()


def test_no_call_goes_on_while_opa_is_stopped(on_opa: OnOpa) -> None:
    on_opa.opa.signal(signal.SIGSTOP)
    try:
        on_opa.refuses()
    finally:
        on_opa.opa.signal(signal.SIGCONT)
    on_opa.resumes()


def test_no_call_goes_on_while_opa_is_dead(on_opa: OnOpa) -> None:
    on_opa.opa.kill()
    on_opa.refuses()
    on_opa.opa.start()
    on_opa.until(on_opa.opa.loaded)
    on_opa.resumes()


def test_a_bundle_whose_tests_fail_never_reaches_opa(on_opa: OnOpa) -> None:
    served = plain.get(f"{on_opa.broker.console}/bundles/broker.tar.gz").content
    author = on_opa.author
    author.edit("content.rego", lambda text: text.replace('else := "block"', 'else := "allow"'))
    try:
        author.publish("bad")
        on_opa.until(lambda: "newer policies are refused" in plain.get(on_opa.broker.console).text.lower())
        assert plain.get(f"{on_opa.broker.console}/bundles/broker.tar.gz").content == served
        assert "broker_policy_refused 1.0" in plain.get(f"{on_opa.broker.console}/metrics").text
        assert on_opa.chat().status_code == 200
    finally:
        author.edit("content.rego", lambda text: text.replace('else := "allow"', 'else := "block"'))
        author.publish("first")
    on_opa.until(lambda: "broker_policy_refused 0.0" in plain.get(f"{on_opa.broker.console}/metrics").text)


def test_a_grant_withdrawn_in_opa_cuts_an_open_stream_within_a_second(on_opa: OnOpa) -> None:
    def trickle(exchange: Exchange) -> None:
        exchange.head(200, content_type="text/event-stream")
        for _ in range(400):
            exchange.wfile.write(chat_event("x "))
            exchange.wfile.flush()
            time.sleep(0.05)
        exchange.wfile.write(DONE)

    on_opa.upstream.answer(trickle)
    author = on_opa.author
    headers = bearer(on_opa.broker, "explorer")
    with (
        on_opa.broker.http("explorer") as client,
        client.stream(
            "POST", "/v1/chat/completions", json={**CHAT, "stream": True}, headers=headers
        ) as reply,
    ):
        heard = reply.iter_lines()
        next(heard)
        author.edit_data(lambda data: data["grants"].pop(f"{DEV}/explorer"))
        for test in author.policies.glob("*_test.rego"):
            test.unlink()
        author.publish("withdrawn")
        rest = []
        active = 0.0
        for line in heard:
            rest.append(line)
            if not active and _revision(on_opa.opa).startswith("withdrawn "):
                active = time.monotonic()
        took = time.monotonic() - active
    assert active
    assert took < CUT_SECONDS
    assert "policy_denied" in "".join(rest)
    assert not any("[DONE]" in line for line in rest)


def _revision(opa: RunningOpa) -> str:
    url = f"{opa.url}/v1/data/broker/calls/decision?provenance=true"
    return str(plain.post(url, json={"input": {}}).json()["provenance"]["bundles"]["broker"]["revision"])


def test_a_fault_of_the_switch_is_felt(on_opa: OnOpa) -> None:
    """What the tests above rely on."""
    on_opa.switch.turn(Fault())
    with pytest.raises(httpx.ReadTimeout):
        plain.post(f"{on_opa.switch.url}/v1/data", json={}, timeout=0.2)
    on_opa.switch.turn(None)
    assert plain.post(f"{on_opa.switch.url}/v1/data", json={}, timeout=5).status_code == 200
