"""One question to an issuer over real TLS: who is trusted, what goes wrong, and that no credential shows."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog

from broker.adapters.pki import DevPki
from broker.adapters.shortlived import Answer, Asking, Cause, Refusal
from broker.model.secret import Secret
from broker.simulator import Organization, Simulator
from tests.shortlived.wire import ADMIN_KEY

ACCOUNTS = "/organization/projects/proj_one/service_accounts"


@pytest.fixture
def pki(tmp_path: Path) -> DevPki:
    return DevPki.load_or_create(tmp_path / "pki")


def tls_of(pki: DevPki) -> ssl.SSLContext:
    """A server of the development CA, for 127.0.0.1."""
    server = pki.server()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(server.cert, server.key)
    return tls


@pytest.fixture
async def simulator(pki: DevPki) -> AsyncIterator[Simulator]:
    organization = Organization(admin_keys=(ADMIN_KEY,), projects=("proj_one",))
    async with Simulator(organization=organization, tls=tls_of(pki)) as running:
        yield running


async def ask(asking: Asking) -> Answer | Refusal:
    try:
        return await asking.ask("GET", ACCOUNTS, bearer=Secret(ADMIN_KEY))
    finally:
        await asking.aclose()


async def test_it_asks_over_tls_that_its_ca_vouches_for(simulator: Simulator, pki: DevPki) -> None:
    answer = await ask(Asking("OpenAI", f"{simulator.url}/v1", ca=pki.ca))
    assert isinstance(answer, Answer)
    assert (answer.status, answer.good) == (200, True)


async def test_a_server_of_another_ca_never_sees_the_key(simulator: Simulator) -> None:
    answer = await ask(Asking("OpenAI", f"{simulator.url}/v1"))
    assert isinstance(answer, Refusal)
    assert answer.cause is Cause.UNTRUSTED
    assert simulator.organization.journal.count == 0


async def test_a_server_of_another_name_never_sees_the_key(pki: DevPki) -> None:
    async with Simulator("127.0.0.2", organization=Organization(), tls=tls_of(pki)) as elsewhere:
        answer = await ask(Asking("OpenAI", f"{elsewhere.url}/v1", ca=pki.ca))
        assert isinstance(answer, Refusal)
        assert answer.cause is Cause.UNTRUSTED
        assert elsewhere.organization.journal.count == 0


@pytest.mark.parametrize(
    ("trouble", "cause"),
    [
        ("503", Cause.BROKEN),
        ("429", Cause.BUSY),
        ("cut", Cause.BROKEN),
    ],
)
async def test_trouble_comes_back_as_a_value_and_no_credential_with_it(
    simulator: Simulator, pki: DevPki, trouble: str, cause: Cause
) -> None:
    simulator.organization.trouble = trouble
    with structlog.testing.capture_logs() as logs:
        answer = await ask(Asking("OpenAI", f"{simulator.url}/v1", ca=pki.ca))
    assert isinstance(answer, Refusal)
    assert answer.cause is cause
    assert answer.error().__context__ is None
    assert ADMIN_KEY not in repr(answer) + repr(logs) + str(answer.error())
