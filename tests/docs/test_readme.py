"""The README says what the code does: every setting, error, route and RPC is in it, and its examples work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from broker.cli.main import app
from broker.config import load
from broker.errors import Kind
from tests.docs.tables import MEANING, README, TABLES, VAULT_POLICIES, between, settings, vault_policies

TEXT = README.read_text()


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_what_the_code_says(name: str) -> None:
    assert between(TEXT, name) == TABLES[name](), "run: python -m tests.docs"


def test_every_setting_is_documented() -> None:
    undocumented = [name for name, field in settings() if not field.description]
    missing = [name for name, _ in settings() if f"`{name}`" not in TEXT]
    assert (undocumented, missing) == ([], [])


def test_the_policies_of_deploy_are_those_that_vault_init_writes() -> None:
    assert {path: path.read_text() for path in VAULT_POLICIES.glob("*.hcl")} == vault_policies()


def test_every_error_is_explained() -> None:
    assert set(MEANING) == set(Kind)


def test_the_complete_configuration_names_every_setting_and_loads(tmp_path: Path) -> None:
    example = example_configuration()
    path = tmp_path / "broker.toml"
    path.write_text(example)
    load(path)
    section, named = "", set()
    for line in example.splitlines():
        if heading := re.match(r"\[(\w+)\]", line):
            section = heading[1]
        elif key := re.match(r"(?:# )?(\w+) = ", line):
            named.add(f"{section}.{key[1]}")
    assert named == {name for name, _ in settings()}


def test_every_command_that_is_shown_exists() -> None:
    shown = set(re.findall(r"^(?:TOKEN=\$\()?(?:\.venv/bin/)?broker (\w+)", TEXT, re.MULTILINE))
    commands = {command.name for command in app.registered_commands}
    assert shown <= commands | {group.name for group in app.registered_groups}
    assert shown


def test_no_link_leads_nowhere() -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", TEXT)
    assert [target for target in targets if not (README.parent / target).exists()] == []
    headings = {
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in TEXT.splitlines()
        if line.startswith("#")
    }
    assert [anchor for anchor in re.findall(r"\]\(#([^)]+)\)", TEXT) if anchor not in headings] == []


def example_configuration(number: int = 0) -> str:
    """The README's broker.toml, or the example of that number."""
    return TEXT.split("```toml\n")[1 + number].split("```")[0]
