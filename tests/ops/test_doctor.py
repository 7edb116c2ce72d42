"""`broker doctor` without servers: configuration, TLS files, policies, the log and the sealed keystore."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from broker.adapters.keystore import SealedStore
from broker.adapters.ledger.disk import Disk
from broker.adapters.ledger.memory import LogMemory
from broker.adapters.pki import DevPki
from broker.app.doctor import Check, Level
from broker.cli import doctor
from broker.cli.main import app
from tests.vault.serving import configuration, placed

KEY = "sk-doctor-0123456789abcdef"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    SealedStore(tmp_path / "keys").put("openai", KEY)
    keys = {"keys": {"directory": str(tmp_path / "keys")}}
    placed(configuration(tmp_path, "https://api.openai.com/v1", keys))
    return tmp_path


def run(home: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["doctor", "--config", str(home / "broker.toml"), *words])


def found(done: Result, level: str) -> list[dict[str, Any]]:
    return [check for check in json.loads(done.output) if check["level"] == level]


def test_all_is_well(home: Path) -> None:
    done = run(home, "--json")
    assert (done.exit_code, found(done, "bad"), found(done, "warning")) == (0, [], [])
    assert {check["subject"] for check in found(done, "good")} == {
        "configuration",
        "tls",
        "policy",
        "log",
        "keys",
        "spend",
    }
    assert not (home / "log").exists(), "the doctor writes nothing"


def test_without_a_terminal_each_check_is_a_line(home: Path) -> None:
    lines = run(home).output.splitlines()
    assert lines[0] == "good configuration: The configuration is complete."
    assert len(lines) == len(json.loads(run(home, "--json").output))


def test_on_a_terminal_it_is_a_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    doctor._show([Check("tls", Level.BAD, "[red]x", "Renew it."), Check("log", Level.GOOD, "fine")])
    shown = capsys.readouterr().out
    assert "\N{BOX DRAWINGS LIGHT HORIZONTAL}" in shown
    assert "[red]x" in shown, "a finding is no markup"


def _other_key(home: Path) -> None:
    shutil.copy(DevPki.load_or_create(home / "other").server().key, home / "pki/server.key")


def _expired(home: Path) -> None:
    old = DevPki.load_or_create(home / "old", now=datetime.now(UTC) - timedelta(days=2))
    shutil.copy(old.server().cert, home / "pki/server.pem")
    shutil.copy(old.server().key, home / "pki/server.key")


def _no_ca(home: Path) -> None:
    shutil.copy(home / "pki/server.pem", home / "pki/ca.pem")


def _broken_policies(home: Path) -> None:
    (home / "policies/calls.rego").write_text("package broker.calls\nimport rego.v1\ndecision := {")


def _another_log(home: Path) -> None:
    (home / "log").mkdir()
    (home / "log/checkpoint").write_text("example.org/another\n0\n")


def _cut(home: Path) -> None:
    memory = LogMemory(home / "log-keys", f"dev.broker/{home.name}", Disk())
    memory.open(7, bytes(32))
    memory.close()


def _a_file_for_a_folder(home: Path) -> None:
    (home / "log").write_text("")


def _quarantined(home: Path) -> None:
    SealedStore(home / "keys").quarantine("openai", "lost laptop")


FAULTS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "another key": (_other_key, "bad", "is not the key of"),
    "expired": (_expired, "bad", "is not valid now"),
    "no certificate": (lambda home: (home / "pki/server.pem").write_text("x"), "bad", "no certificate"),
    "no private key": (lambda home: (home / "pki/server.key").unlink(), "bad", "no private key"),
    "open key": (lambda home: (home / "pki/server.key").chmod(0o644), "warning", "open to others"),
    "no CA": (_no_ca, "bad", "no CA"),
    "broken policies": (_broken_policies, "bad", "calls.rego"),
    "a log that was removed": (_cut, "bad", "where 7 were acknowledged"),
    "another log": (_another_log, "bad", "another log"),
    "a file for a folder": (_a_file_for_a_folder, "bad", "cannot be written"),
    "no seal key": (lambda home: (home / "keys/seal.key").unlink(), "bad", "seal.key"),
    "no key": (lambda home: (home / "keys/openai.sealed.json").unlink(), "bad", "no credential 'openai'"),
    "quarantined": (_quarantined, "warning", "lost laptop"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_a_remedy(home: Path, fault: str) -> None:
    break_it, level, told = FAULTS[fault]
    break_it(home)
    done = run(home, "--json")
    (check,) = found(done, level)
    assert told in check["told"]
    assert check["remedy"]
    assert done.exit_code == (1 if level == "bad" else 0)
    assert KEY not in done.output


def test_a_configuration_that_cannot_be_used_is_bad(home: Path) -> None:
    file = home / "broker.toml"
    file.write_text(file.read_text().replace("[keys]", '[keys]\nadapter = "vault"'))
    done = run(home, "--json")
    assert done.exit_code == 1
    assert "vault.role_id" in found(done, "bad")[0]["told"]


def test_a_path_that_no_closer_look_is_for_is_told_with_its_line(home: Path) -> None:
    file = home / "broker.toml"
    text = "\n".join(
        f'token_key = "{home}/broker.toml/token.pem"' if line.startswith("token_key") else line
        for line in file.read_text().splitlines()
    )
    file.write_text(text)
    done = run(home, "--json")
    (check,) = found(done, "bad")
    line = next(n for n, each in enumerate(text.splitlines(), 1) if each.startswith("token_key"))
    assert check["told"].startswith(
        f"{file}:{line}: identity.token_key: {home}/broker.toml/token.pem cannot be made"
    )
    assert (check["subject"], done.exit_code) == ("configuration", 1)


def test_a_missing_configuration_could_not_be_looked_at(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["doctor", "--config", str(tmp_path / "none.toml")])
    assert done.exit_code != 0
    assert "no such file" in str(done.exception)
