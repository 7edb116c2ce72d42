"""The admin API of project service accounts, through the real SDK and bare HTTP."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import httpx
import pytest
from openai import AsyncOpenAI, AuthenticationError, BadRequestError, NotFoundError

from broker.simulator import Organization, Simulator
from tests.simulator.conftest import ADMIN

PROJECT = "proj_one"


class World:
    """An organization whose time is set by the test."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.organization = Organization(
            admin_keys=(ADMIN,), projects=(PROJECT, "proj_two"), now=lambda: time.time() + self.ahead
        )


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def running(world: World) -> AsyncIterator[Simulator]:
    async with Simulator(organization=world.organization) as simulator:
        yield simulator


async def status(simulator: Simulator, key: str, path: str = "/v1/models") -> int:
    async with httpx.AsyncClient(base_url=simulator.url, trust_env=False) as client:
        return (await client.get(path, headers={"authorization": f"Bearer {key}"})).status_code


async def test_an_account_comes_with_a_key_that_ends_at_its_time(
    world: World, running: Simulator, admin: AsyncOpenAI
) -> None:
    accounts = admin.admin.organization.projects.service_accounts
    made = await accounts.create(PROJECT, name="app", expires_in_seconds=60)
    assert made.role == "member"
    assert made.api_key is not None
    assert made.api_key.expires_at is not None
    assert abs(made.api_key.expires_at - time.time() - 60) < 5
    assert await status(running, made.api_key.value) == 200
    world.ahead = 61
    assert await status(running, made.api_key.value) == 401


async def test_a_key_opens_what_its_scopes_and_its_accounts_role_allow(
    running: Simulator, admin: AsyncOpenAI
) -> None:
    accounts = admin.admin.organization.projects.service_accounts
    made = await accounts.create(PROJECT, name="app", create_service_account_only=True)
    assert (made.role, made.api_key) == ("none", None)
    key = await accounts.api_keys.create(
        made.id, project_id=PROJECT, scopes=["model.request"], expires_in_seconds=60
    )
    async with AsyncOpenAI(base_url=running.url + "/v1", api_key=key.value, max_retries=0) as client:
        with pytest.raises(AuthenticationError, match=r"Missing scopes: model\.request"):
            await client.moderations.create(input="hello")
        assert (await accounts.update(made.id, project_id=PROJECT, role="member")).role == "member"
        assert (await client.moderations.create(input="hello")).results
        with pytest.raises(AuthenticationError, match=r"Missing scopes: api\.responses\.write"):
            await client.responses.create(model="gpt-4o", input="hello")


async def test_a_deleted_accounts_keys_open_nothing(running: Simulator, admin: AsyncOpenAI) -> None:
    accounts = admin.admin.organization.projects.service_accounts
    made = await accounts.create(PROJECT, name="app")
    assert made.api_key is not None
    deleted = await accounts.delete(made.id, project_id=PROJECT)
    assert (deleted.deleted, deleted.id) == (True, made.id)
    assert await status(running, made.api_key.value) == 401
    with pytest.raises(NotFoundError):
        await accounts.delete(made.id, project_id=PROJECT)


async def test_the_list_comes_in_pages_of_one_project(admin: AsyncOpenAI) -> None:
    accounts = admin.admin.organization.projects.service_accounts
    for number in range(5):
        await accounts.create(PROJECT, name=f"app-{number}")
    await accounts.create("proj_two", name="another")
    first = await accounts.list(PROJECT, limit=2)
    assert ([account.name for account in first.data], first.has_more) == (["app-0", "app-1"], True)
    assert [account.name async for account in first] == [f"app-{number}" for number in range(5)]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "missing_required_parameter"),
        ({"name": 7}, "invalid_type"),
        ({"name": "app", "owner": "me"}, "unknown_parameter"),
        ({"name": "app", "expires_in_seconds": 0}, "integer_below_min_value"),
        ({"name": "app", "expires_in_seconds": 31_536_001}, "integer_above_max_value"),
        ({"name": "app", "expires_in_seconds": 9, "create_service_account_only": True}, "invalid_value"),
    ],
)
async def test_a_body_that_openai_does_not_document_is_refused(
    admin: AsyncOpenAI, body: dict[str, object], code: str
) -> None:
    path = f"/organization/projects/{PROJECT}/service_accounts"
    headers = {"authorization": f"Bearer {ADMIN}"}
    with pytest.raises(BadRequestError) as caught:
        await admin.post(path, body=body, cast_to=object, options={"headers": headers})
    assert caught.value.code == code


async def test_only_an_admin_key_administers_and_it_does_nothing_else(running: Simulator) -> None:
    path = f"/v1/organization/projects/{PROJECT}/service_accounts"
    assert await status(running, ADMIN, path) == 200
    assert await status(running, running.key, path) == 401
    assert await status(running, ADMIN) == 401
    assert await status(running, ADMIN, path.replace(PROJECT, "proj_three")) == 404


async def test_what_happened_is_told_without_a_key(running: Simulator, admin: AsyncOpenAI) -> None:
    made = await admin.admin.organization.projects.service_accounts.create(PROJECT, name="app")
    assert made.api_key is not None
    async with httpx.AsyncClient(base_url=running.url, trust_env=False) as client:
        reply = await client.get("/sim/organization")
    told = reply.json()
    assert [event["what"] for event in told["events"]] == ["account_created", "key_created"]
    assert [(account["name"], account["live"]) for account in told["accounts"]] == [("app", 1)]
    assert made.api_key.value not in reply.text
    assert running.count == 0
    assert [entry.path for entry in running.organization.request_log.entries] == [
        f"/v1/organization/projects/{PROJECT}/service_accounts"
    ]


async def test_its_trouble_spoils_the_reply_and_not_what_was_done(
    running: Simulator, admin: AsyncOpenAI
) -> None:
    running.organization.trouble = "malformed-json"
    with pytest.raises(ValueError, match="Unterminated"):
        await admin.admin.organization.projects.service_accounts.create(PROJECT, name="app")
    assert len(running.organization.accounts) == 1
