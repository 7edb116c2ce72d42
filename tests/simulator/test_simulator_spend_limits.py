"""The admin API of hard spend limits, through the real SDK and bare HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError

from broker.simulator import Organization, Simulator
from broker.simulator.organization import SpendLimit
from tests.simulator.conftest import ADMIN

PROJECT = "proj_one"
PATHS = ("/organization/spend_limit", f"/organization/projects/{PROJECT}/spend_limit")
BODY = {"threshold_amount": 100, "currency": "USD", "interval": "month"}


@pytest.fixture
async def running() -> AsyncIterator[Simulator]:
    organization = Organization(admin_keys=(ADMIN,), projects=(PROJECT,))
    async with Simulator(organization=organization) as simulator:
        yield simulator


async def test_a_projects_limit_is_set_told_and_deleted(running: Simulator, admin: AsyncOpenAI) -> None:
    limits = admin.admin.organization.projects.spend_limit
    with pytest.raises(NotFoundError):
        await limits.retrieve(PROJECT)
    made = await limits.update(PROJECT, threshold_amount=50_000, currency="USD", interval="month")
    assert await limits.retrieve(PROJECT) == made
    assert (made.object, made.threshold_amount, made.currency, made.interval, made.enforcement.status) == (
        ("project.spend_limit", 50_000, "USD", "month", "inactive")
    )
    running.organization.spend_limits[PROJECT] = SpendLimit(50_000, enforcing=True)
    assert (await limits.retrieve(PROJECT)).enforcement.status == "enforcing"
    deleted = await limits.delete(PROJECT)
    assert (deleted.object, deleted.deleted) == ("project.spend_limit.deleted", True)
    with pytest.raises(NotFoundError):
        await limits.retrieve(PROJECT)


async def test_the_organization_has_one_of_its_own(admin: AsyncOpenAI) -> None:
    limits = admin.admin.organization.spend_limit
    with pytest.raises(NotFoundError):
        await limits.retrieve()
    await limits.update(threshold_amount=7, currency="USD", interval="month")
    told = await limits.retrieve()
    assert (told.object, told.threshold_amount) == ("organization.spend_limit", 7)
    with pytest.raises(NotFoundError):
        await admin.admin.organization.projects.spend_limit.retrieve(PROJECT)
    assert (await limits.delete()).object == "organization.spend_limit.deleted"


async def test_a_project_that_is_not_there_has_none(admin: AsyncOpenAI) -> None:
    with pytest.raises(NotFoundError, match="No project found"):
        await admin.admin.organization.projects.spend_limit.retrieve("proj_none")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "missing_required_parameter"),
        ({**BODY, "threshold_amount": "7"}, "invalid_type"),
        ({**BODY, "threshold_amount": -1}, "integer_below_min_value"),
        ({**BODY, "currency": "EUR"}, "invalid_value"),
        ({**BODY, "interval": "day"}, "invalid_value"),
        ({**BODY, "enforcement": {"status": "enforcing"}}, "unknown_parameter"),
    ],
)
async def test_a_body_that_openai_does_not_document_is_refused(
    admin: AsyncOpenAI, path: str, body: dict[str, object], code: str
) -> None:
    headers = {"authorization": f"Bearer {ADMIN}"}
    with pytest.raises(BadRequestError) as caught:
        await admin.post(path, body=body, cast_to=object, options={"headers": headers})
    assert caught.value.code == code


@pytest.mark.parametrize("path", PATHS)
async def test_only_an_admin_key_may_look(running: Simulator, path: str) -> None:
    statuses = []
    async with httpx.AsyncClient(base_url=running.url, trust_env=False) as client:
        for key in (running.key, "sk-nobody", ADMIN):
            reply = await client.get(f"/v1{path}", headers={"authorization": f"Bearer {key}"})
            statuses.append(reply.status_code)
    assert statuses == [401, 401, 404]
