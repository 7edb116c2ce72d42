"""Access tokens in the place of keys: exchanged, renewed in good time, and what there is without them."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest
import structlog

from broker.adapters.ephemeral_keys import SourceError
from broker.adapters.ephemeral_keys.federation import FederatedKeySource, SubjectToken, Trust
from broker.adapters.ephemeral_keys.federation.source import Federated
from broker.errors import BrokerError
from broker.model.secret import Secret
from tests.ephemeral_keys.clock import SteppedClock, settle
from tests.ephemeral_keys.network import Fault
from tests.federation.fakes import LIFE, PROVIDER, STORED, FederatedSetup, answering
from tests.simulator.issuer import Issuer


class Told:
    """A Watch that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, ...]] = []

    def issued(self, credential: str, ends_at: float) -> None:
        assert ends_at > 0
        self.events.append(("issued", credential))

    def not_issued(self, credential: str, cause: str) -> None:
        self.events.append(("not issued", credential, cause))

    def fell_back(self, credential: str) -> None:
        self.events.append(("fell back", credential))

    def came_back(self, credential: str) -> None:
        self.events.append(("came back", credential))


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[FederatedSetup]:
    rig = FederatedSetup(tmp_path)
    await rig.source.start()
    yield rig
    await rig.source.aclose()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def falling(tmp_path: Path, told: Told) -> AsyncIterator[FederatedSetup]:
    """With a stored key to fall back on."""
    rig = FederatedSetup(tmp_path, "stored", told)
    yield rig
    await rig.source.aclose()


async def until_exchanged(rig: FederatedSetup, seconds: float) -> None:
    """Time passes; what it sets off reads a file in a thread, which takes real time."""
    heard = len(rig.wire.heard)
    await rig.clock.advance(seconds)
    for _ in range(200):
        if len(rig.wire.heard) >= heard + 2:
            break
        await asyncio.sleep(0.005)
    await settle()


async def test_an_access_token_opens_the_api_and_is_known_by_its_place(rig: FederatedSetup) -> None:
    lease = await rig.source.lease("openai")
    assert rig.opens(lease.secret.reveal())
    assert lease.key_ref == "workload_identity:openai"


async def test_it_is_renewed_at_two_thirds_of_its_life_with_the_token_that_is_there_then(
    rig: FederatedSetup,
) -> None:
    first = await rig.source.lease("openai")
    await rig.key("other")
    await rig.clock.advance(LIFE * 2 / 3 - 5)
    assert (await rig.source.lease("openai")).secret is first.secret
    rig.refresh()
    await until_exchanged(rig, 10)
    second = await rig.source.lease("openai")
    assert second.secret.reveal() != first.secret.reveal()
    assert second.key_version > first.key_version
    assert rig.opens(second.secret.reveal())


async def test_calls_never_wait_for_a_renewal(rig: FederatedSetup) -> None:
    first = await rig.key()
    rig.wire.fault = Fault.LOST_REQUEST
    await rig.clock.advance(LIFE * 2 / 3 + 1)
    waiting = rig.source.lease("openai")
    with pytest.raises(StopIteration) as answered:
        waiting.send(None)  # done at the first step: nothing was awaited
    assert answered.value.value.secret.reveal() == first


async def test_away_the_token_is_used_until_its_end_then_refused_and_comes_back_by_itself(
    rig: FederatedSetup,
) -> None:
    first = await rig.key()
    rig.wire.fault = Fault.UNREACHABLE
    await rig.clock.advance(LIFE - 31)
    assert await rig.key() == first
    assert rig.opens(first)
    await rig.clock.advance(2)
    await rig.refused()
    rig.wire.fault = Fault.NONE
    await until_exchanged(rig, 4.1)
    assert rig.opens(await rig.key())


async def test_the_access_token_of_a_short_subject_token_is_renewed_before_that_ends(
    rig: FederatedSetup,
) -> None:
    await rig.source.aclose()
    rig.refresh(300)
    rig.source = rig._made(None, Told())
    first = await rig.key()
    await rig.key("other")
    rig.refresh(300)
    await until_exchanged(rig, 201)
    assert await rig.key() != first


async def test_it_falls_back_only_without_a_good_token_loudly_and_comes_back(
    falling: FederatedSetup, told: Told
) -> None:
    first = await falling.key()
    falling.wire.fault = Fault.OVERLOADED
    with structlog.testing.capture_logs() as logs:
        await falling.clock.advance(LIFE - 31)
        assert await falling.key() == first
        assert falling.stored.leases == 0
        await falling.clock.advance(2)
        stand_in = await falling.source.lease("openai")
        assert (stand_in.secret.reveal(), stand_in.key_ref) == (STORED, "test:stored")
        assert await falling.key() == STORED
        falling.wire.fault = Fault.NONE
        await falling.clock.advance(4.1)
        for _ in range(200):
            if falling.source._kept["openai"].current() is not None:
                break
            await asyncio.sleep(0.005)
        assert falling.opens(await falling.key())
        assert await falling.key() != STORED
    events = [(entry["log_level"], entry["event"]) for entry in logs]
    assert events.count(("error", "access_token_fallback")) == 1
    assert ("info", "access_tokens_restored") in events
    assert [event[0] for event in told.events if event[0] != "not issued"] == [
        "issued",
        "fell back",
        "fell back",
        "issued",
        "came back",
    ]


async def test_while_it_falls_back_no_call_waits(falling: FederatedSetup) -> None:
    falling.wire.fault = Fault.UNREACHABLE
    began = time.monotonic()
    for _ in range(50):
        assert await falling.key() == STORED
    assert time.monotonic() - began < 1.0


async def test_without_a_configured_fallback_a_stored_key_is_never_used(rig: FederatedSetup) -> None:
    rig.wire.fault = Fault.UNREACHABLE
    await rig.source.aclose()
    rig.source = rig._made(None, Told())
    await rig.refused()
    assert rig.stored.leases == 0


def test_a_fallback_needs_a_store(tmp_path: Path) -> None:
    subject = SubjectToken(tmp_path / "token", SteppedClock())
    with pytest.raises(ValueError, match="fallback"):
        FederatedKeySource(
            {"openai": Federated(subject, Trust("idp", "svc"), "stored")},
            answering(httpx.Response(500)),
            SteppedClock(),
        )
    subject.close()


async def test_a_revoked_token_is_replaced(rig: FederatedSetup) -> None:
    before = await rig.key()
    rig.source.revoke("openai")
    assert await rig.key() != before


SUBJECTS = {
    "absent": None,
    "empty": "",
    "no JWT": "not-a-token",
    "two lines": "a.b.c\na.b.c",
    "no base64": "a.b.c",
    "no claims": "a." + base64.urlsafe_b64encode(b"[1]").decode().rstrip("=") + ".c",
    "too large": "a." + "b" * 20_000 + ".c",
    "not ASCII": "a.é.c",
}


@pytest.mark.parametrize("subject", SUBJECTS)
async def test_an_unfit_token_file_is_told_by_its_path_and_sent_nowhere(tmp_path: Path, subject: str) -> None:
    rig = FederatedSetup(tmp_path)
    content = SUBJECTS[subject]
    rig.file.unlink()
    if content is not None:
        rig.file.write_text(content)
    error = await rig.refused()
    assert str(rig.file) in error.message
    assert "spiffe-helper" in error.remedy
    assert rig.wire.heard == []
    await rig.source.aclose()


async def test_an_expired_subject_token_is_not_sent(tmp_path: Path) -> None:
    rig = FederatedSetup(tmp_path)
    rig.refresh(-1)
    error = await rig.refused()
    assert "has expired" in error.message
    assert rig.wire.heard == []
    await rig.source.aclose()


async def test_what_openai_rejects_is_told_with_what_to_check(tmp_path: Path) -> None:
    rig = FederatedSetup(tmp_path)
    rig.refresh(sub="spiffe://example.org/ns/other/sa/other")
    error = await rig.refused()
    assert "invalid_grant" in error.message
    assert "service_account_id" in error.remedy
    await rig.source.aclose()
    rig.source = rig._made(None, Told())
    rig.issuer = Issuer()
    rig.refresh()
    error = await rig.refused()
    assert "invalid_subject_token" in error.message
    assert "issuer" in error.remedy
    await rig.source.aclose()


REPLIES: dict[str, object] = {
    "no token": {"expires_in": 3600},
    "no end": {"access_token": "at-0123456789"},
    "an end in the past": {"access_token": "at-0123456789", "expires_in": 0},
    "no end in sight": {"access_token": "at-0123456789", "expires_in": 10**9},
    "a text as an end": {"access_token": "at-0123456789", "expires_in": "3600"},
    "a header in the token": {"access_token": "at-0123456789\r\nx: y", "expires_in": 3600},
    "another kind of token": {"access_token": "at-0123456789", "expires_in": 3600, "token_type": "mac"},
    "a refresh token": {
        "access_token": "at-0123456789",
        "expires_in": 3600,
        "issued_token_type": "urn:ietf:params:oauth:token-type:refresh_token",
    },
    "a list": ["at-0123456789"],
}


@pytest.mark.parametrize("reply", REPLIES)
async def test_an_answer_outside_the_reference_is_refused(tmp_path: Path, reply: str) -> None:
    rig = FederatedSetup(tmp_path)
    endpoint = answering(httpx.Response(200, stream=httpx.ByteStream(msgspec.json.encode(REPLIES[reply]))))
    outcome = await endpoint.exchange(_subject(rig), Trust(PROVIDER, "svc_acct_openai"))
    assert isinstance(outcome, SourceError)
    assert "reference" in outcome.message
    await endpoint.aclose()
    await rig.source.aclose()


async def test_an_endpoint_that_echoes_the_token_is_not_repeated(tmp_path: Path) -> None:
    """An error may say anything; a message, a log line or a metric of ours never says it again."""
    rig = FederatedSetup(tmp_path)
    subject = rig.refresh()
    for body in ({"error": subject}, {"error": "invalid_grant", "error_description": subject}):
        endpoint = answering(httpx.Response(401, stream=httpx.ByteStream(msgspec.json.encode(body))))
        with structlog.testing.capture_logs() as logs:
            outcome = await endpoint.exchange(_subject(rig), Trust(PROVIDER, "svc_acct_openai"))
        assert isinstance(outcome, SourceError)
        assert subject not in repr(outcome) + repr(logs)
        await endpoint.aclose()
    await rig.source.aclose()


async def test_no_error_carries_a_token_in_its_chain(rig: FederatedSetup) -> None:
    """Walks causes, contexts and the locals of every frame."""
    subject = rig.file.read_text().strip()
    for fault in (Fault.UNREACHABLE, Fault.LOST_REPLY, Fault.OVERLOADED):
        await rig.source.aclose()
        rig.source = rig._made(None, Told())
        rig.wire.fault = fault
        with pytest.raises(BrokerError) as caught:
            await rig.source.lease("openai")
        error: BaseException | None = caught.value
        assert error is not None
        assert error.__cause__ is None
        assert error.__context__ is None
        frame = error.__traceback__
        while frame is not None:
            assert (
                subject not in repr(frame.tb_frame.f_locals) or frame.tb_frame.f_code.co_filename == __file__
            )
            frame = frame.tb_next


def _subject(rig: FederatedSetup) -> Secret:
    return Secret(rig.file.read_text().strip())
