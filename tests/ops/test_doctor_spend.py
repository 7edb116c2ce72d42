"""`broker doctor` on OpenAI's own hard spend limits, asked of a simulated OpenAI."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from broker.adapters.keystore import SealedStore
from broker.simulator import Organization, Simulator
from broker.simulator.organization import SpendLimit
from tests.ephemeral_keys.network import ADMIN_KEY
from tests.ops.test_doctor import run
from tests.ports import free_port
from tests.running import SMALL_POLICIES
from tests.vault.serving import Sections, configuration

PROJECT, OTHER = "proj_one", "proj_two"
UPSTREAM = "https://api.openai.com/v1"


@dataclass
class Site:
    """One configuration, and the organization at OpenAI that its admin key administers."""

    home: Path
    organization: Organization
    admin_url: str

    def write(self, more: Sections | None = None, *, url: str | None = None) -> None:
        """`more` are sections besides one credential `openai` of PROJECT."""
        sections = {
            "keys": {"directory": str(self.home / "keys")},
            "dynamic_keys": {"url": url or self.admin_url, "instance": str(self.home / "instance")},
            "credentials.openai": {"upstream_auth": "dynamic_key", "project": PROJECT},
        }
        configuration(self.home, UPSTREAM, {**sections, **(more or {})})

    def policies(self, **roles: dict[str, object]) -> None:
        """The shipped policies with no roles but these, all of the credential `openai` that name none."""
        file = self.home / "policies/data.json"
        data = json.loads(file.read_text())
        plain = {"operations": {"models": "any"}, "pins": {}, "max_output_tokens": 1, "admin": {}}
        common = {**plain, "content": "standard", "credential": "openai"}
        token = {"default_seconds": 300, "max_seconds": 300}
        data["roles"] = {
            name: {**common, "token": token, "limits": {}, **role} for name, role in roles.items()
        }
        data["grants"], data["break_glass"] = {}, {}
        file.write_text(json.dumps(data))

    async def told(self) -> tuple[int, list[dict[str, Any]]]:
        """The exit code, and what is said of spending; the admin key is nowhere."""
        done = await asyncio.to_thread(run, self.home, "--json")
        assert ADMIN_KEY not in done.output
        return done.exit_code, [each for each in json.loads(done.output) if each["subject"] == "spend"]

    async def of(self, project: str | None) -> dict[str, Any]:
        """What is said of one of them alone."""
        whose = "the organization" if project is None else f"the project {project}"
        _, told = await self.told()
        (check,) = (each for each in told if f"{whose}:" in each["told"] or f"{whose} is" in each["told"])
        return check


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    organization = Organization(admin_keys=(ADMIN_KEY,), projects=(PROJECT, OTHER))
    SealedStore(tmp_path / "keys").put("openai-admin", ADMIN_KEY)
    async with Simulator(organization=organization) as simulator:
        made = Site(tmp_path, organization, f"{simulator.url}/v1")
        made.write()
        yield made


async def test_where_none_is_set_nothing_backs_the_brokers_own(site: Site) -> None:
    code, told = await site.told()
    assert (code, [each["level"] for each in told]) == (0, ["warning", "warning"])
    assert [f"/organization/projects/{PROJECT}/spend_limit" in each["remedy"] for each in told] == [
        True,
        False,
    ]
    assert "POST /organization/spend_limit" in told[1]["remedy"]


async def test_one_that_is_set_is_told_with_its_amount(site: Site) -> None:
    site.policies(reader={"limits": {}})
    site.organization.spend_limits = {PROJECT: SpendLimit(123_456), None: SpendLimit(5)}
    assert (await site.of(PROJECT))["told"].startswith(
        f"OpenAI's hard spend limit of the project {PROJECT} is 1,234.56 USD a month."
    )
    told = await site.of(None)
    assert (told["level"], "is 0.05 USD a month." in told["told"]) == ("good", True)


@pytest.mark.parametrize("owner", [PROJECT, None])
async def test_one_that_is_reached_is_a_failure(site: Site, owner: str | None) -> None:
    site.organization.spend_limits[owner] = SpendLimit(50_000, enforcing=True)
    code, told = await site.told()
    (check,) = (each for each in told if each["level"] == "bad")
    assert (code, "OpenAI refuses all calls" in check["told"], "500.00 USD" in check["told"]) == (
        1,
        True,
        True,
    )
    assert check["remedy"]


DAY = {"unit": "micro_usd", "cap": 100_000_000}  # 100 USD
MONTHS: dict[str, tuple[dict[str, object], str]] = {
    "a fixed window": ({**DAY, "window_seconds": 86_400}, "3,100.00 USD"),
    "a sliding window": ({**DAY, "sliding_seconds": 43_200}, "6,200.00 USD"),
    "a minute": ({**DAY, "calendar": "minute"}, "4,464,000.00 USD"),
    "an hour": ({**DAY, "calendar": "hour"}, "74,400.00 USD"),
    "a day": ({**DAY, "calendar": "day", "time_zone": "Europe/Berlin"}, "3,100.00 USD"),
    "a week": ({**DAY, "calendar": "week"}, "442.85 USD"),
    "a month": ({**DAY, "calendar": "month"}, "100.00 USD"),
    "a year": ({**DAY, "sliding_seconds": 31_536_000}, "100.00 USD"),
}


@pytest.mark.parametrize("window", MONTHS)
async def test_one_that_is_lower_than_a_month_of_policy_is_a_warning_with_both_figures(
    site: Site, window: str
) -> None:
    limit, month = MONTHS[window]
    site.policies(reader={"limits": {"spend": limit}})
    site.organization.spend_limits = {PROJECT: SpendLimit(9_999), None: SpendLimit(10**9)}
    check = await site.of(PROJECT)
    assert check["level"] == "warning"
    assert ("99.99 USD" in check["told"], month in check["told"]) == (True, True)
    assert "(roles.reader.limits, spend)" in check["told"]
    assert "for one account" in check["told"]
    assert "all accounts together may spend more" in check["told"]
    assert check["remedy"]
    assert (await site.of(None))["level"] == "good"


async def test_as_much_as_policy_allows_is_enough(site: Site) -> None:
    site.policies(reader={"limits": {"spend": {**DAY, "calendar": "month"}}})
    site.organization.spend_limits = {PROJECT: SpendLimit(10_000)}
    assert (await site.of(PROJECT))["level"] == "good"


async def test_the_largest_limit_counts_and_of_one_account_the_smallest(site: Site) -> None:
    """All limits of an account bind together; what is only observed, and other units, bind nobody's money."""
    day, month = {**DAY, "calendar": "day"}, {**DAY, "cap": 500_000_000, "calendar": "month"}
    observed, tokens = {**DAY, "cap": 1, "calendar": "month", "observe": True}, {"unit": "tokens", "cap": 1}
    site.policies(
        reader={"limits": {"day": day, "month": month, "trial": observed}},
        writer={
            "limits": {"day": {**day, "cap": 1}, "tokens": {**tokens, "calendar": "day"}},
            "limits_by": {"team": {"team's month": {**month, "cap": 700_000_000}}},
        },
    )
    site.organization.spend_limits[PROJECT] = SpendLimit(1)
    assert (
        "700.00 USD in 31 days for one account (roles.writer.limits_by.team, team's month)"
        in (await site.of(PROJECT))["told"]
    )
    site.policies(reader={"limits": {"day": day, "month": month, "trial": observed}})
    assert "500.00 USD in 31 days" in (await site.of(PROJECT))["told"]


async def test_a_project_is_compared_with_the_roles_that_spend_its_money(site: Site) -> None:
    """Through its credentials, and through pools with a key of it; the organization with all of them."""
    site.write(
        {
            "credentials.second": {"upstream_auth": "dynamic_key", "project": OTHER},
        }
    )
    with (site.home / "broker.toml").open("a") as file:
        file.write('[[pools.shared.members]]\nkey = "second"\n[[pools.shared.members]]\nkey = "stored"\n')
    SealedStore(site.home / "keys").put("stored", "sk-stored-0123456789")
    cheap, dear = ({**DAY, "cap": cap, "calendar": "month"} for cap in (1_000_000, 2_000_000))
    site.policies(
        reader={"limits": {"cheap": cheap}}, writer={"credential": "shared", "limits": {"dear": dear}}
    )
    site.organization.spend_limits = {PROJECT: SpendLimit(150), OTHER: SpendLimit(150), None: SpendLimit(150)}
    levels = [(await site.of(owner))["level"] for owner in (PROJECT, OTHER, None)]
    assert levels == ["good", "warning", "warning"]


async def test_where_nothing_limits_money_nothing_is_compared(site: Site) -> None:
    site.policies(reader={"limits": {}})
    site.organization.spend_limits[PROJECT] = SpendLimit(100)
    check = await site.of(PROJECT)
    assert (check["level"], "have no limit of money" in check["told"]) == ("good", True)


async def test_policies_of_another_layout_are_not_compared_and_that_is_told(site: Site) -> None:
    shutil.rmtree(site.home / "policies")
    shutil.copytree(SMALL_POLICIES[1], site.home / "policies")
    site.organization.spend_limits[PROJECT] = SpendLimit(100)
    check = await site.of(PROJECT)
    assert (check["level"], "It was not compared" in check["told"]) == ("good", True)


async def test_a_key_that_openai_does_not_let_in_is_a_failure(site: Site) -> None:
    SealedStore(site.home / "keys").put("openai-admin", "sk-admin-withdrawn-0123456789")
    code, (check,) = await site.told()
    assert (code, check["level"]) == (1, "bad")
    assert f"the project {PROJECT}, the organization" in check["told"]
    assert "admin key" in check["remedy"]


@pytest.mark.parametrize(
    ("trouble", "told"), [("503", "failed (5xx)"), ("429", "429"), ("malformed-json", "reference")]
)
async def test_an_api_that_is_in_trouble_could_not_be_looked_at(site: Site, trouble: str, told: str) -> None:
    site.organization.spend_limits = {PROJECT: SpendLimit(100), None: SpendLimit(100)}
    site.organization.trouble = trouble
    code, (check,) = await site.told()
    assert (code, check["level"], told in check["told"], bool(check["remedy"])) == (2, "unknown", True, True)


async def test_an_api_that_cannot_be_reached_could_not_be_looked_at(site: Site) -> None:
    site.write(url=f"http://127.0.0.1:{free_port()}/v1")
    code, (check,) = await site.told()
    assert (code, check["level"], "cannot be reached" in check["told"]) == (2, "unknown", True)


async def test_without_the_admin_key_in_the_store_nobody_is_asked(site: Site) -> None:
    (site.home / "keys/openai-admin.sealed.json").unlink()
    code, (check,) = await site.told()
    assert (code, check["level"], "No admin key" in check["told"]) == (1, "unknown", True)
    assert site.organization.request_log.entries == []


async def test_without_a_dynamic_key_a_line_says_that_and_why(tmp_path: Path) -> None:
    SealedStore(tmp_path / "keys").put("openai", "sk-stored-0123456789")
    configuration(tmp_path, UPSTREAM, {"keys": {"directory": str(tmp_path / "keys")}})
    site = Site(tmp_path, Organization(), "")
    _, (check,) = await site.told()
    assert (check["level"], "cannot be looked at" in check["told"]) == ("good", True)
    assert "dynamic_key" in check["told"]
