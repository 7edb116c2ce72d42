"""What policies name and no key serves: told at a start, on reload and by the doctor, with its line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from broker.adapters.clock import SystemClock
from broker.adapters.keystore import SealedStore
from broker.adapters.policyfiles.source import read_policies
from broker.adapters.rego.origin import Folder
from broker.adapters.rego.reloading import ReloadingAuthorizer
from broker.adapters.rego.unserved import ConfiguredKeys, unserved
from broker.cli.main import app
from broker.model.pool import Member, Pool
from tests.policy.engines import POLICIES
from tests.vault.serving import configuration

HERE = "spiffe://dev.broker/ns/demo/sa"
SERVING = ConfiguredKeys(
    {
        "openai": Pool(
            "openai",
            (
                Member("one"),
                Member("two", region="eu"),
                Member("three", region="eu", team="claims"),
                Member("four", region="us", team="consulate"),
            ),
        )
    },
    frozenset(),
)
"""A key for each placement of the demonstration."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(POLICIES, tmp_path / "policies"))


def _changed(folder: Path, *place: str, to: object) -> None:
    data: dict[str, Any] = json.loads((folder / "data.json").read_text())
    holder = data
    for name in place[:-1]:
        holder = holder[name]
    holder[place[-1]] = to
    (folder / "data.json").write_text(json.dumps(data, indent=1))


CHANGES: dict[str, tuple[tuple[str, ...], object, str, str]] = {
    "a credential": (("roles", "clerk", "credential"), "opneai", "'opneai'", "[pools.opneai]"),
    "a region of a role": (
        ("roles", "resident", "placement"),
        {"region": "eq"},
        "region 'eq'",
        "name claims",
    ),
    "a region of a grant": (
        ("grants", f"{HERE}/embassy", "placement"),
        {"region": "uk", "team": "consulate"},
        "region 'uk'",
        "eu, us",
    ),
    "a team in another region": (
        ("grants", f"{HERE}/embassy", "placement"),
        {"team": "consulate"},
        "team 'consulate'",
        "the placement",
    ),
    "a team whose keys are nowhere": (
        ("grants", f"{HERE}/clerk", "placement"),
        {"region": "us", "team": "claims"},
        "team 'claims'",
        "the placement",
    ),
}


def test_a_key_for_each_placement_is_enough() -> None:
    assert unserved(read_policies(POLICIES), SERVING) == []


@pytest.mark.parametrize("name", CHANGES)
def test_what_no_key_serves_is_told_with_file_line_and_remedy(folder: Path, name: str) -> None:
    place, value, what, remedy = CHANGES[name]
    _changed(folder, *place, to=value)
    found = unserved(read_policies(folder), SERVING)
    assert found
    for each in found:
        assert each.file == "data.json"
        assert what in each.what
        assert remedy in each.remedy
    lines = (folder / "data.json").read_text().splitlines()
    assert any(f'"{place[-1]}"' in lines[each.line - 1] for each in found)


def test_one_key_is_no_pool_and_serves_no_region() -> None:
    found = unserved(read_policies(POLICIES), ConfiguredKeys({}, frozenset({"openai"})))
    assert {"is one key" in each.what for each in found} == {True}
    assert len(found) == 3  # of the role, and of two grants


def test_a_store_that_cannot_be_asked_accuses_nobody(folder: Path) -> None:
    _changed(folder, "roles", "clerk", "credential", to="another")
    assert unserved(read_policies(folder), ConfiguredKeys(SERVING.pools, None)) == []


async def test_what_no_key_serves_is_told_at_a_start_and_on_reload_and_rules(folder: Path) -> None:
    origin = Folder(folder)
    with origin.contents() as contents, capture_logs() as quiet:
        authorizer = ReloadingAuthorizer(
            origin, SystemClock(), lambda: SERVING, proof=await contents.try_them()
        )
    assert quiet == []
    _changed(folder, "roles", "batch", "credential", to="opneai")
    before = authorizer.version
    with capture_logs() as told:
        await authorizer.look()
    warned = [each for each in told if each["log_level"] == "warning"]
    assert [each["event"] for each in warned] == ["policy_names_unserved_keys"]
    assert warned[0]["what"].startswith("data.json:")
    assert authorizer.problem() == ""
    assert authorizer.version != before
    with origin.contents() as contents, capture_logs() as again:
        ReloadingAuthorizer(origin, SystemClock(), lambda: SERVING, proof=await contents.try_them())
    assert [each["event"] for each in again] == ["policy_names_unserved_keys"]


def test_the_doctor_tells_what_no_key_serves(tmp_path: Path) -> None:
    SealedStore(tmp_path / "keys").put("openai", "sk-doctor-0123456789abcdef")
    configuration(tmp_path, "https://api.openai.com/v1", {"keys": {"directory": str(tmp_path / "keys")}})
    done = CliRunner().invoke(app, ["doctor", "--config", str(tmp_path / "broker.toml"), "--json"])
    warned = [each for each in json.loads(done.output) if each["level"] == "warning"]
    assert len(warned) == 4  # three placements, and a credential of the tests' own policies
    assert all(each["told"].startswith("data.json:") and each["remedy"] for each in warned)
