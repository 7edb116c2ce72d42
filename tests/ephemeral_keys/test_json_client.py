"""One question to an issuer over real TLS: who is trusted, what goes wrong, and that no credential shows."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog

from broker.adapters.ephemeral_keys import ErrorCode, JsonHttpClient, JsonResponse, SourceError
from broker.adapters.pki import DevPki
from broker.model.secret import Secret
from broker.simulator import Organization, Simulator
from tests.ephemeral_keys.network import ADMIN_KEY

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


async def ask(client: JsonHttpClient) -> JsonResponse | SourceError:
    try:
        return await client.ask("GET", ACCOUNTS, bearer=Secret(ADMIN_KEY))
    finally:
        await client.aclose()


async def test_it_asks_over_tls_that_its_ca_vouches_for(simulator: Simulator, pki: DevPki) -> None:
    answer = await ask(JsonHttpClient("OpenAI", f"{simulator.url}/v1", ca=pki.ca))
    assert isinstance(answer, JsonResponse)
    assert (answer.status, answer.good) == (200, True)


async def test_a_server_of_another_ca_never_sees_the_key(simulator: Simulator) -> None:
    answer = await ask(JsonHttpClient("OpenAI", f"{simulator.url}/v1"))
    assert isinstance(answer, SourceError)
    assert answer.cause is ErrorCode.UNTRUSTED
    assert simulator.organization.request_log.count == 0


async def test_a_server_of_another_name_never_sees_the_key(pki: DevPki) -> None:
    async with Simulator("127.0.0.2", organization=Organization(), tls=tls_of(pki)) as elsewhere:
        answer = await ask(JsonHttpClient("OpenAI", f"{elsewhere.url}/v1", ca=pki.ca))
        assert isinstance(answer, SourceError)
        assert answer.cause is ErrorCode.UNTRUSTED
        assert elsewhere.organization.request_log.count == 0


@pytest.mark.parametrize(
    ("trouble", "cause"),
    [
        ("503", ErrorCode.BROKEN),
        ("429", ErrorCode.BUSY),
        ("cut", ErrorCode.BROKEN),
    ],
)
async def test_trouble_comes_back_as_a_value_and_no_credential_with_it(
    simulator: Simulator, pki: DevPki, trouble: str, cause: ErrorCode
) -> None:
    simulator.organization.trouble = trouble
    with structlog.testing.capture_logs() as logs:
        answer = await ask(JsonHttpClient("OpenAI", f"{simulator.url}/v1", ca=pki.ca))
    assert isinstance(answer, SourceError)
    assert answer.cause is cause
    assert answer.error().__context__ is None
    assert ADMIN_KEY not in repr(answer) + repr(logs) + str(answer.error())
