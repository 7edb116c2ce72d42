"""`broker doctor` on a real store: what would keep limits from being held to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from broker.adapters.keystore import SealedStore
from broker.cli.main import app
from tests.state.server import RealStore
from tests.vault.serving import configuration, placed

pytestmark = pytest.mark.servers


def checked(home: Path, store: RealStore, **state: object) -> tuple[int, list[tuple[str, str, str]]]:
    """The exit code, and (level, told, remedy) of each check of the state."""
    SealedStore(home / "keys").put("openai", "sk-doctor-0123456789abcdef")
    sections: dict[str, Any] = {
        "keys": {"directory": str(home / "keys")},
        "state": {
            "adapter": "valkey",
            "url": store.url,
            "ca": str(store.ca),
            "password_file": str(store.password_file),
            **state,
        },
    }
    placed(configuration(home, "https://api.openai.com/v1", sections))
    done = CliRunner().invoke(app, ["doctor", "--config", str(home / "broker.toml"), "--json"])
    checks = [check for check in json.loads(done.output) if check["subject"] == "state"]
    return done.exit_code, [(check["level"], check["told"], check["remedy"]) for check in checks]


def test_all_is_well_and_nothing_is_left_there(tmp_path: Path, store: RealStore) -> None:
    code, checks = checked(tmp_path, store)
    assert (code, [level for level, _, _ in checks]) == (0, ["good"])
    with store.operator() as operator:
        assert operator.keys("*") == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("appendfsync", "everysec"), ("appendonly", "no"), ("maxmemory-policy", "allkeys-lru")],
)
def test_a_store_that_may_forget_is_bad(tmp_path: Path, store: RealStore, name: str, value: str) -> None:
    with store.operator() as operator:
        operator.config_set(name, value)
    code, [(level, told, remedy)] = checked(tmp_path, store)
    assert (code, level) == (1, "bad")
    assert f"{name} {value}" in told
    assert name in remedy


def test_commands_that_its_user_may_not_give_are_named(tmp_path: Path, store: RealStore) -> None:
    with store.operator() as operator:
        operator.execute_command("ACL", "SETUSER", "broker", "-hincrby", "-scan")
    code, [(level, told, remedy)] = checked(tmp_path, store)
    assert (code, level) == (1, "bad")
    assert "HINCRBY, SCAN" in told
    assert "users.acl" in remedy


def test_a_user_without_keys_of_the_deployment_is_bad(tmp_path: Path, store: RealStore) -> None:
    with store.operator() as operator:
        operator.execute_command("ACL", "SETUSER", "broker", "resetkeys", "~broker:another:*")
    _, [(level, told, _)] = checked(tmp_path, store)
    assert level == "bad"
    assert "HINCRBY" in told


def test_settings_that_its_user_may_not_see_are_unknown(tmp_path: Path, store: RealStore) -> None:
    with store.operator() as operator:
        operator.execute_command("ACL", "SETUSER", "broker", "-config|get")
    _, [(level, told, _)] = checked(tmp_path, store)
    assert level == "unknown"
    assert "CONFIG GET" in told


def test_a_wrong_password_and_a_store_that_is_away_are_told_apart(tmp_path: Path, store: RealStore) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("another")
    _, [(_, told, _)] = checked(tmp_path, store, password_file=str(wrong))
    assert "refuses the user or its password" in told
    store.kill()
    code, [(level, told, _)] = checked(tmp_path, store)
    assert (code, level) == (1, "bad")
    assert "not reached" in told
