"""Hard spend limits, as the admin API tells them: what is documented is read, nothing else believed."""

from __future__ import annotations

import json

import httpx
import pytest

from broker.adapters.ephemeral_keys import ErrorCode, JsonHttpClient, SourceError
from broker.adapters.ephemeral_keys.dynamic import AdminApi, SpendLimit
from broker.simulator import Organization
from broker.simulator import organization as simulated
from tests.ephemeral_keys.network import ADMIN_KEY, Fault, Network, OneKey

PROJECT = "proj_chat"
OWNERS = (PROJECT, None)
DOCUMENTED: dict[str, object] = {
    "object": "project.spend_limit",
    "threshold_amount": 50_000,
    "currency": "USD",
    "interval": "month",
    "enforcement": {"status": "inactive"},
}
GARBLED: tuple[dict[str, object], ...] = (
    {"threshold_amount": "50000"},
    {"threshold_amount": 0.5},
    {"threshold_amount": -1},
    {"currency": "EUR"},
    {"interval": "day"},
    {"enforcement": {"status": "asleep"}},
    {"enforcement": None},
)


@pytest.fixture
def network() -> Network:
    return Network(Organization(admin_keys=(ADMIN_KEY,), projects=(PROJECT,)))


def api(transport: httpx.MockTransport, key: str = ADMIN_KEY) -> AdminApi:
    client = JsonHttpClient("OpenAI's admin API", "https://api.openai.test/v1", transport=transport)
    return AdminApi(client, OneKey(key), "openai-admin")


@pytest.mark.parametrize("owner", OWNERS)
@pytest.mark.parametrize("enforcing", [False, True])
async def test_one_that_is_set_is_read(network: Network, owner: str | None, enforcing: bool) -> None:
    admin = api(network.transport)
    assert await admin.spend_limit(owner) is None
    network.organization.spend_limits[owner] = simulated.SpendLimit(50_000, enforcing)
    assert await admin.spend_limit(owner) == SpendLimit(50_000, enforcing)
    assert {path.partition(" ")[0] for path in network.heard} == {"GET"}
    await admin.aclose()


@pytest.mark.parametrize("wrong", GARBLED, ids=str)
async def test_what_is_not_documented_is_not_believed(wrong: dict[str, object]) -> None:
    body = json.dumps({**DOCUMENTED, **wrong}).encode()
    admin = api(httpx.MockTransport(lambda _: httpx.Response(200, stream=httpx.ByteStream(body))))
    refusal = await admin.spend_limit(PROJECT)
    assert isinstance(refusal, SourceError)
    assert refusal.cause is ErrorCode.GARBLED
    await admin.aclose()


FAULTS = {
    Fault.UNREACHABLE: ErrorCode.UNREACHABLE,
    Fault.LOST_REPLY: ErrorCode.SLOW,
    Fault.OVERLOADED: ErrorCode.BROKEN,
}
STATUSES = {401: ErrorCode.FORBIDDEN, 403: ErrorCode.FORBIDDEN, 400: ErrorCode.REJECTED, 429: ErrorCode.BUSY}


@pytest.mark.parametrize("fault", FAULTS)
async def test_an_api_that_is_away_is_told_as_what_it_is(network: Network, fault: Fault) -> None:
    network.fault = fault
    admin = api(network.transport)
    refusal = await admin.spend_limit(None)
    assert isinstance(refusal, SourceError)
    assert refusal.cause is FAULTS[fault]
    await admin.aclose()


@pytest.mark.parametrize("status", STATUSES)
async def test_an_answer_that_is_none_has_its_cause(status: int) -> None:
    body = httpx.ByteStream(b"{}")
    admin = api(httpx.MockTransport(lambda _: httpx.Response(status, stream=body)))
    refusal = await admin.spend_limit(PROJECT)
    assert isinstance(refusal, SourceError)
    assert refusal.cause is STATUSES[status]
    assert ADMIN_KEY not in repr(refusal)
    await admin.aclose()


async def test_a_project_that_is_a_path_is_never_asked_for(network: Network) -> None:
    admin = api(network.transport)
    with pytest.raises(ValueError, match="letters, digits"):
        await admin.spend_limit("../projects/other")
    assert network.heard == []
    await admin.aclose()
