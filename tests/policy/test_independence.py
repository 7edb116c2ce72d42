"""The tables of the rules hold whatever a company grants and forbids: no change of data reaches them."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from broker.adapters.policyfiles.source import read_policies
from broker.adapters.rego import EmbeddedAuthorizer
from broker.adapters.rego.table_tests import TableFailure, run_tables
from tests.policy.engines import OPA, POLICIES
from tests.sizes import FULL

Data = dict[str, Any]
OURS = json.loads((POLICIES / "data.json").read_text())


def _without(role: str) -> Data:
    """The data without a role and whatever names it."""
    data = json.loads(json.dumps(OURS))
    del data["roles"][role]
    for table in ("grants", "break_glass"):
        data[table] = {key: value for key, value in data[table].items() if value["role"] != role}
    return dict(data)


def _renamed(*roles: str) -> Data:
    text = json.dumps(OURS)
    for role in roles:
        text = text.replace(f'"role": "{role}"', f'"role": "new {role}"')
        text = text.replace(f'"{role}": {{', f'"new {role}": {{')
    return dict(json.loads(text))


def _elsewhere() -> Data:
    return dict(
        json.loads(json.dumps(OURS).replace("spiffe://dev.broker/ns/demo", "spiffe://example.org/ns/claims"))
    )


def _shuffled(seed: int) -> Data:
    """Roles given to others, limits and caps drawn anew."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    data = json.loads(json.dumps(OURS))
    roles = list(data["roles"])
    for grant in data["grants"].values():
        grant["role"] = chance.choice(roles)
    for role in data["roles"].values():
        role["max_output_tokens"] = chance.randrange(10**6)
        for limit in role.get("limits", {}).values():
            limit["cap"] = chance.randrange(10**6)
        if role["operations"] and chance.random() < 0.5:
            del role["operations"][chance.choice(list(role["operations"]))]
    for table in data["content"].values():
        table |= {family: chance.choice(["block", "redact", "allow"]) for family in ("pii", "secret")}
    return dict(data)


EMPTY: Data = {name: {} for name in OURS} | {"response": {"cut": ["*"]}, "weekdays": OURS["weekdays"]}
CHANGES: dict[str, Callable[[], Data]] = {
    **{f"without {role}": (lambda role=role: _without(role)) for role in OURS["roles"]},  # type: ignore[misc]
    **{f"{role} renamed": (lambda role=role: _renamed(role)) for role in OURS["roles"]},  # type: ignore[misc]
    **{f"drawn by {seed}": (lambda seed=seed: _shuffled(seed)) for seed in range(4)},  # type: ignore[misc]
    "all roles renamed": lambda: _renamed(*OURS["roles"]),
    "another trust domain": _elsewhere,
    "nothing at all": lambda: EMPTY,
}
EVERY_DAY = ("all roles renamed", "drawn by 0", "nothing at all")
"""Most of the others change a part of what these change; some are asked of the embedded engine."""


def _of_data(file: str) -> bool:
    return file.endswith("_data_test.rego")


@dataclass(frozen=True)
class Company:
    """Somebody with the shipped rules and tables, and data of its own."""

    policies: Path

    def has(self, data: Data) -> None:
        (self.policies / "data.json").write_text(json.dumps(data))

    async def failures(self) -> tuple[TableFailure, ...]:
        source = read_policies(self.policies)
        return (await run_tables(EmbeddedAuthorizer(source), self.policies))[1]

    def failures_in_opa(self) -> set[str]:
        assert OPA is not None
        done = subprocess.run(
            [OPA, "test", "--bundle", "--format", "json", str(self.policies)],
            capture_output=True,
            text=True,
            check=False,
        )
        return {Path(each["location"]["file"]).name for each in json.loads(done.stdout) if each.get("fail")}


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(Path(shutil.copytree(POLICIES, tmp_path / "policies")))


@pytest.mark.servers
@pytest.mark.parametrize("name", CHANGES if FULL else EVERY_DAY)
def test_no_change_of_data_fails_a_test_of_the_rules_in_opa(company: Company, name: str) -> None:
    company.has(CHANGES[name]())
    assert {file for file in company.failures_in_opa() if not _of_data(file)} == set()


@pytest.mark.parametrize("name", ["without clerk", "another trust domain", "nothing at all"])
async def test_no_change_of_data_fails_a_table_of_the_rules(company: Company, name: str) -> None:
    company.has(CHANGES[name]())
    failures = await company.failures()
    assert failures, "the demonstration's own table sees the change"
    assert [str(each) for each in failures if not _of_data(each.file)] == []


@pytest.mark.servers
async def test_no_rule_of_ones_own_fails_a_table_of_the_shipped_rules(company: Company) -> None:
    rule = (
        'package broker.own\n\ndenies["closed"] := {"reason": "Closed.", "changes": []} if input.call.model\n'
    )
    (company.policies / "own").mkdir()
    (company.policies / "own/closed.rego").write_text(rule)
    assert [str(each) for each in await company.failures() if not _of_data(each.file)] == []
    assert {file for file in company.failures_in_opa() if not _of_data(file)} == set()
