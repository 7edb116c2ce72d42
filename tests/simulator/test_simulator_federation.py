"""The token endpoint, through the real SDK's workload identity and bare HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from openai import AsyncOpenAI, AuthenticationError, OAuthError
from openai.auth import WorkloadIdentityAuth

from broker.simulator import Mapped, Organization, Simulator
from tests.simulator.issuer import SUBJECT, Issuer

ACCOUNT = "svc_acct_broker"
MAPPED = Mapped(SUBJECT, ACCOUNT, "proj_one", ("model.request",))
BODY = {
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    "identity_provider_id": "idp_one",
    "service_account_id": ACCOUNT,
}


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
async def running(issuer: Issuer) -> AsyncIterator[Simulator]:
    organization = Organization(projects=("proj_one",))
    async with Simulator(organization=organization, providers=[issuer.provider(MAPPED)]) as simulator:
        yield simulator


def sdk_token(simulator: Simulator, subject_token: str) -> str:
    """What the real SDK exchanges a token for. Blocking."""
    auth = WorkloadIdentityAuth(
        workload_identity={
            "identity_provider_id": "idp_one",
            "service_account_id": ACCOUNT,
            "provider": {"token_type": "jwt", "get_token": lambda: subject_token},
        },
        token_exchange_url=simulator.url + "/oauth/token",
    )
    return auth.get_token()


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_an_exchanged_token_opens_what_its_mapping_says(algorithm: str) -> None:
    issuer = Issuer(algorithm)
    providers = [issuer.provider(MAPPED)]
    async with Simulator(organization=Organization(), providers=providers) as simulator:
        token = await asyncio.to_thread(sdk_token, simulator, issuer.token())
        async with AsyncOpenAI(base_url=simulator.url + "/v1", api_key=token, max_retries=0) as client:
            assert (await client.moderations.create(input="hello")).results
            with pytest.raises(AuthenticationError, match="Missing scopes"):
                await client.models.list()
        simulator.organization.delete_account(simulator.organization.accounts[ACCOUNT])
        assert simulator.organization.rights(token) is None


async def test_an_access_token_ends_with_the_subject_token_and_after_an_hour(
    running: Simulator, issuer: Issuer
) -> None:
    async with httpx.AsyncClient(base_url=running.url, trust_env=False) as client:
        for seconds, expected in ((120, 120), (7200, 3600)):
            reply = await client.post("/oauth/token", json={**BODY, "subject_token": issuer.token(seconds)})
            assert expected - 2 <= reply.json()["expires_in"] <= expected


@pytest.mark.parametrize(
    "claims",
    [{"iss": "https://evil.example"}, {"aud": "another"}, {"exp": int(time.time()) - 1}, {"iat": None}],
)
async def test_an_unfit_subject_token_is_refused(
    running: Simulator, issuer: Issuer, claims: dict[str, object]
) -> None:
    token = issuer.token(300, **claims)
    with pytest.raises(OAuthError) as caught:
        await asyncio.to_thread(sdk_token, running, token)
    assert caught.value.error == "invalid_subject_token"


async def test_a_token_of_another_key_is_refused(running: Simulator) -> None:
    with pytest.raises(OAuthError) as caught:
        await asyncio.to_thread(sdk_token, running, Issuer().token())
    assert caught.value.error == "invalid_subject_token"


async def test_a_subject_without_a_mapping_is_refused(running: Simulator, issuer: Issuer) -> None:
    token = issuer.token(sub="spiffe://example.org/ns/other/sa/other")
    with pytest.raises(OAuthError, match="No service account mapping") as caught:
        await asyncio.to_thread(sdk_token, running, token)
    assert caught.value.error == "invalid_grant"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"subject_token": ""}, "invalid_request"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:saml2"}, "invalid_request"),
        ({"requested_token_type": "anything"}, "invalid_request"),
        ({"identity_provider_id": "idp_two"}, "invalid_grant"),
    ],
)
async def test_a_request_outside_the_reference_is_refused(
    running: Simulator, issuer: Issuer, change: dict[str, str], error: str
) -> None:
    async with httpx.AsyncClient(base_url=running.url, trust_env=False) as client:
        reply = await client.post("/oauth/token", json={**BODY, "subject_token": issuer.token(), **change})
    assert (reply.json()["error"], reply.status_code >= 400) == (error, True)
