"""The admin API away, slow, wrong: what calls get meanwhile, and that it mends itself."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from broker.adapters.ephemeral_keys import JsonHttpClient
from broker.adapters.ephemeral_keys.dynamic import AdminApi, DynamicKeySource
from broker.errors import BrokerError, Kind
from tests.dynamic_keys.fakes import KEY, LIFE, DynamicSetup, Named
from tests.ephemeral_keys.clock import SteppedClock
from tests.ephemeral_keys.network import ADMIN_KEY, Fault, OneKey


@pytest.mark.parametrize("fault", [Fault.UNREACHABLE, Fault.OVERLOADED, Fault.LOST_REQUEST])
async def test_while_openai_is_away_the_key_is_used_until_its_end_and_then_refused(
    rig: DynamicSetup, fault: Fault
) -> None:
    key = await rig.key()
    rig.wire.fault = fault
    await rig.clock.advance(LIFE - 31)
    assert await rig.key() == key
    assert rig.opens(key)
    await rig.clock.advance(2)
    began = time.monotonic()
    for _ in range(20):
        await rig.refused()
    assert time.monotonic() - began < 0.5  # nobody waits for an issuer that is known to be away
    rig.wire.fault = Fault.NONE
    await rig.clock.advance(4.1)
    assert rig.opens(await rig.key())


async def test_away_at_the_start_the_broker_starts_and_recovers() -> None:
    rig = DynamicSetup()
    rig.wire.fault = Fault.UNREACHABLE
    await rig.source.start()
    await rig.clock.advance(0)
    error = await rig.refused()
    assert "cannot be reached" in error.message
    await rig.clock.advance(3600)
    rig.wire.fault = Fault.NONE
    await rig.clock.advance(4.1)
    assert rig.opens(await rig.key())
    await rig.source.aclose()


async def test_a_failing_issuer_is_not_hammered(rig: DynamicSetup) -> None:
    await rig.key()
    rig.wire.fault = Fault.OVERLOADED
    seen: list[float] = []
    carry = rig.wire._carry

    async def counting(request: httpx.Request) -> httpx.Response:
        seen.append(rig.clock.now())
        return await carry(request)

    rig.wire._carry = counting  # type: ignore[method-assign]
    rig.source = rig.another()
    await rig.source.start()
    await rig.clock.advance(600)
    assert 10 <= len(seen) <= 600  # the key and the sweep, each at most every two seconds, seldom later
    rig.wire.fault = Fault.NONE
    await rig.source.aclose()


async def test_an_unknown_credential_is_refused_with_a_remedy(rig: DynamicSetup) -> None:
    error = await rig.refused("nobody")
    assert "policy" in error.remedy
    assert rig.wire.heard == [] or all("nobody" not in path for path in rig.wire.heard)


async def test_a_missing_admin_key_is_told_as_what_it_is() -> None:
    class Empty(OneKey):
        async def lease(self, credential: str) -> None:  # type: ignore[override]
            raise BrokerError(
                Kind.CREDENTIAL_STORE_UNAVAILABLE, f"Nothing at {credential}.", remedy="Put it there."
            )

    rig = DynamicSetup()
    rig.admin_keys = Empty()
    source = rig.another()
    with pytest.raises(BrokerError, match="No admin key: Nothing at openai-admin") as caught:
        await source.lease("chat")
    assert caught.value.remedy == "Put it there."
    await source.aclose()


async def test_the_admin_key_is_leased_for_each_request_and_a_rotated_one_used(rig: DynamicSetup) -> None:
    await rig.key()
    assert rig.admin_keys.leases == len(rig.wire.heard)
    rig.admin_keys.key = "sk-admin-wrong-0123456789"
    rig.source.revoke("chat")
    error = await rig.refused()
    assert "does not let the broker in" in error.message
    assert "admin key" in error.remedy


ANSWERS = {
    "no JSON": b"<html>proxy</html>",
    "nothing": b"",
    "another shape": b'{"object": "list"}',
    "a path as an id": b'{"id": "../../../projects/other", "name": "%NAME%"}',
    "another name": b'{"id": "svc_acct_1", "name": "somebody"}',
    "far too much": b'{"id": "' + b"x" * 2_000_000 + b'"}',
}


@pytest.mark.parametrize("answer", ANSWERS)
async def test_garbage_is_refused_and_never_followed(answer: str) -> None:
    """An id that is a path could make us delete what is not ours."""
    paths: list[str] = []

    def carry(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.raw_path.decode())
        sent = request.read().partition(b'"name":"')[2].partition(b'"')[0]
        return httpx.Response(200, stream=httpx.ByteStream(ANSWERS[answer].replace(b"%NAME%", sent)))

    client = JsonHttpClient("OpenAI", "https://api.openai.test/v1", transport=httpx.MockTransport(carry))
    source = DynamicKeySource({"chat": KEY}, AdminApi(client, OneKey(), "admin"), Named(), SteppedClock())
    with pytest.raises(BrokerError, match="reference does not describe"):
        await source.lease("chat")
    await source.aclose()
    assert {path.partition("?")[0] for path in paths} == {
        f"/v1/organization/projects/{KEY.project}/service_accounts"
    }


async def test_accounts_do_not_pile_up_where_replies_cannot_be_read() -> None:
    """A release of the API that answers a creation in another shape, say."""
    rig = DynamicSetup()
    carry = rig.wire._carry

    async def spoiling(request: httpx.Request) -> httpx.Response:
        reply = await carry(request)
        created = request.method == "POST" and request.url.path.endswith("/service_accounts")
        return httpx.Response(200, stream=httpx.ByteStream(b"{}")) if created else reply

    rig.wire._carry = spoiling  # type: ignore[method-assign]
    rig.source = rig.another()
    await rig.source.start()
    for _ in range(60):
        await rig.clock.advance(60)
        assert len(rig.ours) <= 1
    rig.wire._carry = carry  # type: ignore[method-assign]
    await rig.source.aclose()


async def test_a_redirect_is_not_followed_with_the_admin_key() -> None:
    asked: list[str] = []

    def carry(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(307, headers={"location": "https://evil.example/"})

    client = JsonHttpClient("OpenAI", "https://api.openai.test/v1", transport=httpx.MockTransport(carry))
    source = DynamicKeySource({"chat": KEY}, AdminApi(client, OneKey(), "admin"), Named(), SteppedClock())
    with pytest.raises(BrokerError, match="redirects"):
        await source.lease("chat")
    await source.aclose()
    assert set(asked) == {"api.openai.test"}


async def test_retry_after_is_kept() -> None:
    def carry(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(429, headers={"retry-after": "7"})

    client = JsonHttpClient("OpenAI", "https://api.openai.test/v1", transport=httpx.MockTransport(carry))
    source = DynamicKeySource({"chat": KEY}, AdminApi(client, OneKey(), "admin"), Named(), SteppedClock())
    with pytest.raises(BrokerError) as caught:
        await source.lease("chat")
    assert caught.value.retry_after == 7
    await source.aclose()


async def test_a_slow_issuer_keeps_a_call_for_two_seconds_at_most() -> None:
    async def carry(_request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        return httpx.Response(200)

    client = JsonHttpClient("OpenAI", "https://api.openai.test/v1", transport=httpx.MockTransport(carry))
    source = DynamicKeySource({"chat": KEY}, AdminApi(client, OneKey(), "admin"), Named(), SteppedClock())
    began = time.monotonic()
    with pytest.raises(BrokerError, match="in time"):
        await source.lease("chat")
    assert time.monotonic() - began < 2.1
    await source.aclose()


@pytest.mark.parametrize(
    "url", ["http://api.openai.com/v1/", "http://127.0.0.1.example/", "ftp://127.0.0.1/"]
)
def test_an_admin_key_never_crosses_the_network_in_the_clear(url: str) -> None:
    with pytest.raises(ValueError, match="https"):
        JsonHttpClient("OpenAI", url)


@pytest.mark.parametrize("step", [0, 1, 2])
@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.NONE])
async def test_no_error_carries_a_key_in_its_chain(step: int, fault: Fault) -> None:
    """Walks causes, contexts and the locals of every frame of ours."""
    rig = DynamicSetup()
    rig.store("chat", "sk-dynamic-canary-0123456789")
    rig.wire.faults = [Fault.NONE] * step + [fault]
    with pytest.raises(BrokerError) as caught:
        await rig.source.lease("chat")
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    frame = caught.value.__traceback__
    while frame is not None:
        shown = repr(frame.tb_frame.f_locals) + repr(caught.value)
        assert ADMIN_KEY not in shown
        assert "sk-dynamic-canary" not in shown
        frame = frame.tb_next
    await rig.source.aclose()
