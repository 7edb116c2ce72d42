"""OPA decides, and every way in which it fails to refuses the call: nothing is allowed by accident."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from broker.adapters.clock import SystemClock
from broker.adapters.opa import OpaAuthorizer, Sidecar
from broker.adapters.opa.authorizer import PROBE_SECONDS
from broker.adapters.rego import EmbeddedAuthorizer
from broker.errors import BrokerError, Kind
from broker.model.answers import parse_call_decision
from broker.ports import DecisionPoint
from tests.opa.sidecar import POLICIES, RunningOpa, answering, build, http, running_opa, unheard
from tests.opa.switch import FAULTS, switch
from tests.policy.documents import call

pytestmark = pytest.mark.servers

CALLS = DecisionPoint.CALLS
DEADLINE = 0.05
NOISE = 0.5  # seconds that a busy machine may add; `python -m tests.bench.refusals` has the figure
BACK_SECONDS = 2.0
BUNDLE = b'"provenance":{"bundles":{"broker":{"revision":"x sha256:' + b"a" * 64 + b'"}}}'


@pytest.fixture(scope="module")
def opa(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningOpa]:
    with running_opa(tmp_path_factory.mktemp("opa")) as running:
        yield running


@asynccontextmanager
async def authorizer(url: str, **options: str | None) -> AsyncIterator[OpaAuthorizer]:
    made = OpaAuthorizer(Sidecar(url), SystemClock(), deadline_seconds=DEADLINE, **options)
    await made.start(unheard)
    try:
        yield made
    finally:
        await made.aclose()


async def ready(made: OpaAuthorizer, within: float = 10.0) -> float:
    """Seconds until it is ready."""
    begun = time.monotonic()
    while made.unready():
        assert time.monotonic() - begun < within, made.unready()
        await asyncio.sleep(0.02)
    return time.monotonic() - begun


async def refused(made: OpaAuthorizer) -> BrokerError:
    """The refusal of one call, which came in time."""
    begun = time.monotonic()
    with pytest.raises(BrokerError) as caught:
        await made.evaluate(CALLS, call("explorer", "gpt-4o"))
    assert time.monotonic() - begun < DEADLINE + NOISE
    assert caught.value.kind is Kind.POLICY_ENGINE_UNAVAILABLE
    assert caught.value.retry_after
    return caught.value


async def test_opa_decides_as_the_embedded_engine_does(opa: RunningOpa) -> None:
    embedded = EmbeddedAuthorizer(POLICIES)
    async with authorizer(opa.url) as made:
        await ready(made)
        for who in ("assistant", "batch", "explorer", "intruder"):
            document = call(who, "gpt-4o")
            theirs = await made.evaluate(CALLS, document)
            assert theirs.result == (await embedded.evaluate(CALLS, document)).result
            assert theirs.policy.sha256 == embedded.version.sha256 == made.version.sha256
            assert theirs.policy.revision == "test"


async def test_a_killed_opa_refuses_and_service_resumes_by_itself(opa: RunningOpa) -> None:
    async with authorizer(opa.url) as made:
        await ready(made)
        opa.kill()
        for _ in range(8):
            await refused(made)
        await asyncio.sleep(0.4)
        assert "OPA" in made.unready()
        await asyncio.to_thread(opa.start)
        assert await ready(made) < BACK_SECONDS
        assert (await made.evaluate(CALLS, call("explorer", "gpt-4o"))).result


async def test_a_stopped_opa_refuses_and_service_resumes_by_itself(opa: RunningOpa) -> None:
    async with authorizer(opa.url) as made:
        await ready(made)
        opa.signal(signal.SIGSTOP)
        try:
            for _ in range(8):
                await refused(made)
        finally:
            opa.signal(signal.SIGCONT)
        assert await ready(made) < BACK_SECONDS


async def test_open_breaker_lets_only_the_probe_ask() -> None:
    with switch(behind=0) as between:
        between.turn(FAULTS["garbage"])
        async with authorizer(between.url) as made:
            for _ in range(8):
                await refused(made)
            before = between.asked
            begun = time.monotonic()
            for _ in range(200):
                await refused(made)
            probes = (time.monotonic() - begun) / PROBE_SECONDS
            assert between.asked - before <= probes + 1


@pytest.mark.parametrize(
    "raw",
    [
        http(b"garbage"),
        http(b"null"),
        http(b'"allow"'),
        http(b"[]"),
        http(b'{"result":{"allow":true},"result":{"allow":true},' + BUNDLE + b"}"),
        http(b'{"result":{"allow":NaN},' + BUNDLE + b"}"),
        http(b'{"result":{"allow":true}}'),
        http(b'{"result":{"allow":true},"provenance":{"bundles":{"other":{"revision":"x"}}}}'),
        http(b'{"result":{"allow":true},"provenance":{"bundles":{"broker":{"revision":""}}}}'),
        http(b'{"result":"' + b"x" * 10_000_000 + b'"}'),
        http(b"{}", status="500 Internal Server Error"),
        http(b"{}", status="404 Not Found"),
        http(b"", status="307 Temporary Redirect", headers="location: http://127.0.0.1:1/\r\n"),
        b"HTTP/1.1 200 OK\r\ncontent-length: 400\r\n\r\n{",
        b"SSH-2.0-OpenSSH\r\n",
    ],
    ids=lambda raw: repr(raw[:60]),
)
async def test_whatever_opa_answers_wrongly_is_refused(raw: bytes) -> None:
    async with answering(raw) as url, authorizer(url) as made:
        error = await refused(made)
        assert "OPA" in made.unready()
        assert "x" * 20 not in str(error)


@pytest.mark.parametrize(
    "result", [b"", b'"result":null,', b'"result":{},', b'"result":"yes",', b'"result":{"allow":"true"},']
)
async def test_a_result_that_is_no_decision_is_refused(result: bytes) -> None:
    async with answering(http(b"{" + result + BUNDLE + b"}")) as url, authorizer(url) as made:
        verdict = await made.evaluate(CALLS, call("explorer", "gpt-4o"))
        with pytest.raises(BrokerError) as caught:
            parse_call_decision(verdict.result, verdict.policy)
        assert caught.value.kind is Kind.POLICY_ENGINE_UNAVAILABLE
        assert "does not deny" in made.unready()


async def test_a_slow_opa_is_refused_in_time() -> None:
    async with answering(http(b'{"result":{},' + BUNDLE + b"}"), after=5) as url, authorizer(url) as made:
        await refused(made)


async def test_an_opa_that_allows_strangers_is_never_ready() -> None:
    allowing = http(b'{"result":{"allow":true},' + BUNDLE + b"}")
    async with answering(allowing) as url, authorizer(url) as made:
        assert "does not deny an unknown subject" in made.unready()


async def test_the_environment_names_no_proxy(monkeypatch: pytest.MonkeyPatch, opa: RunningOpa) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    async with authorizer(opa.url) as made:
        await ready(made)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "127.0.0.1:8181", "http://", "http://127.0.0.1/v1/data"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="http"):
        OpaAuthorizer(Sidecar(url), SystemClock())


async def test_a_new_bundle_is_seen_within_its_polling_and_a_probe(opa: RunningOpa) -> None:
    async with authorizer(opa.url) as made:
        await ready(made)
        assert made.version.revision == "test"
        build(POLICIES, opa.bundle, label="second")
        deadline = time.monotonic() + 10
        while made.version.revision != "second":
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        build(POLICIES, opa.bundle, label="test")
