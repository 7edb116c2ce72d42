"""`make help` lists every target; the dependency bot finds every pin; hooks of commits need no network."""

from __future__ import annotations

import json
import re

from pre_commit.clientlib import load_config  # type: ignore[import-untyped]

from tests.structure.sources import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()


def test_help_lists_every_target() -> None:
    """But files, such as `.venv/.ready`, which are made when they are needed."""
    phony = re.sub(r"\\\n", " ", MAKEFILE).partition(".PHONY:")[2].partition("\n")[0].split()
    rules = re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE)
    assert sorted(phony) == sorted(rules)
    helped = re.findall(r"^([a-z-]+):[^#\n]*## \S", MAKEFILE, re.MULTILINE)
    assert sorted(rules) == sorted(helped)


def test_the_dependency_bot_finds_every_pin_of_the_makefile() -> None:
    """But what Vault is built with: it goes with Vault's version."""
    managers = json.loads((ROOT / "renovate.json").read_text())["customManagers"]
    patterns = [each.replace("(?<", "(?P<") for manager in managers for each in manager["matchStrings"]]
    found = {match["currentValue"] for each in patterns for match in re.finditer(each, MAKEFILE)}
    pinned = set(re.findall(r"^\w+ :=.*?(v?\d+\.\d+\.\d+)", MAKEFILE, re.MULTILINE))
    assert len(pinned) > 4
    assert pinned - found == set()


def test_the_hooks_before_a_commit_run_what_is_here() -> None:
    hooks = [
        hook for repo in load_config(str(ROOT / ".pre-commit-config.yaml"))["repos"] for hook in repo["hooks"]
    ]
    programs = {hook["entry"].split()[0] for hook in hooks}
    assert {hook["language"] for hook in hooks} <= {"system", "unsupported"}  # pre-commit 4.4 renamed it
    assert [each for each in programs - {"make"} if not (ROOT / each).exists()] == []
