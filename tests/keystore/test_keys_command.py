"""`broker keys`, as an operator types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from broker.adapters.keystore import SealedStore
from broker.cli.keys import app
from tests.keystore.fakes import KEY


@pytest.fixture
def keystore(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def _run(keystore: Path, *words: str, stdin: str = "") -> Result:
    return CliRunner().invoke(app, [*words, "--keystore", str(keystore)], input=stdin)


def test_a_key_is_imported_from_standard_input(keystore: Path) -> None:
    done = _run(keystore, "import", "openai", stdin=f"{KEY}\n")
    assert done.exit_code == 0, done.output
    assert KEY not in done.output
    assert SealedStore(keystore).newest("openai").secret.reveal() == KEY


def test_a_key_is_imported_from_a_file(keystore: Path, tmp_path: Path) -> None:
    source = tmp_path / "key.txt"
    source.write_text(f"{KEY}\r\n")
    assert _run(keystore, "import", "openai", "--file", str(source)).exit_code == 0
    assert SealedStore(keystore).newest("openai").secret.reveal() == KEY


def test_rotate_adds_a_version_and_list_shows_both(keystore: Path) -> None:
    _run(keystore, "import", "openai", stdin=KEY)
    rotated = _run(keystore, "rotate", "openai", "--json", stdin="sk-another-0123456789")
    assert json.loads(rotated.output)["version"] == 2
    listed = _run(keystore, "list", "--json").output
    assert [(each["name"], each["version"]) for each in json.loads(listed)] == [("openai", 1), ("openai", 2)]
    assert "sk-" not in listed + _run(keystore, "list").output


def test_rotating_a_key_that_is_not_there_is_refused(keystore: Path) -> None:
    done = _run(keystore, "rotate", "openai", stdin=KEY)
    assert done.exit_code == 3
    assert "broker keys import openai" in done.output


@pytest.mark.parametrize("words", [("openai", KEY), (KEY,), ("sk-proj-x",), ("openai", "extra", "words")])
@pytest.mark.parametrize("command", ["import", "rotate"])
def test_a_key_typed_on_the_command_line_is_refused(
    keystore: Path, command: str, words: tuple[str, ...]
) -> None:
    done = _run(keystore, command, *words, stdin=KEY)
    assert done.exit_code == 3
    assert "never an argument" in done.output
    assert KEY not in done.output
    assert not keystore.exists()


def test_a_key_in_the_environment_is_not_read(keystore: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "BROKER_KEY", "NAME", "FILE"):
        monkeypatch.setenv(name, KEY)
    assert _run(keystore, "import", "openai", stdin="").exit_code == 3
    assert not list(keystore.glob("*.json"))


def test_a_missing_file_is_named(keystore: Path) -> None:
    done = _run(keystore, "import", "openai", "--file", "/nowhere/key")
    assert done.exit_code == 3
    assert "/nowhere/key" in done.output


def test_a_quarantined_key_is_listed_with_its_reason_until_it_is_released(keystore: Path) -> None:
    _run(keystore, "import", "openai", stdin=KEY)
    assert _run(keystore, "quarantine", "openai", "--reason", "lost laptop").exit_code == 0
    (listed,) = json.loads(_run(keystore, "list", "--json").output)
    assert (listed["state"], listed["reason"]) == ("quarantined", "lost laptop")
    assert _run(keystore, "release", "openai").exit_code == 0
    (listed,) = json.loads(_run(keystore, "list", "--json").output)
    assert listed["state"] == "current"
    assert "reason" not in listed


def test_a_keystore_of_before_quarantines_still_opens(keystore: Path) -> None:
    _run(keystore, "import", "openai", stdin=KEY)
    assert "quarantined" not in (keystore / "openai.sealed.json").read_text()


def test_two_stores_at_once_are_refused(keystore: Path, tmp_path: Path) -> None:
    done = _run(keystore, "list", "--config", str(tmp_path / "broker.toml"))
    assert (done.exit_code, "give one of them" in done.output) == (3, True)
