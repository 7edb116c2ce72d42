"""What the documents name is there: files, links, headings, commands with their options, targets, reasons."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer

from broker.cli.main import app
from broker.errors import Kind
from tests.docs.pages import (
    AUDITORS,
    CHANGELOG,
    PAGES,
    README,
    ROOT,
    anchors,
    code,
    commands,
    links,
    name,
)

KEPT = (".py", ".md", ".rego", ".proto", ".hcl", ".service")
"""Files of these kinds are the project's own, wherever a document names one."""
THEIRS = {"GRPC_EXPERIMENTS", "GRPC_VERBOSITY", "SO_REUSEPORT", "RUNTIME_DIRECTORY", "INFO", "DEBUG"}
"""Names of others, in capitals like the broker's reasons."""

every_page = pytest.mark.parametrize("page", PAGES, ids=name)


def test_the_readme_is_short() -> None:
    assert len(README.read_bytes()) <= 12 * 1024


def test_the_auditors_page_fits_a_terminal_of_80_columns() -> None:
    assert [line for line in AUDITORS.read_text().splitlines() if len(line) > 80] == []


@every_page
def test_no_link_leads_nowhere(page: Path) -> None:
    dead = []
    for path, anchor in links(page.read_text()):
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            dead.append(f"{path}#{anchor}")
    assert dead == []


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = set(), [README]
    while waiting:
        page = waiting.pop()
        if page not in reached and page.is_file():
            reached.add(page)
            waiting += [
                (page.parent / path).resolve() for path, _ in links(page.read_text()) if path.endswith(".md")
            ]
    assert {name(page) for page in PAGES} - {name(page) for page in reached} == set()


@every_page
def test_every_file_that_is_named_exists(page: Path) -> None:
    named = {word.rstrip("/") for word in code(page.read_text()) if looks_like_a_file(word)}
    places = (ROOT, ROOT / "broker", page.parent, ROOT / "policies")
    assert {each for each in named if not any((place / each).exists() for place in places)} == set()


def looks_like_a_file(word: str) -> bool:
    """One of the project's, by its kind or its folder; not a pattern, nor what a reader makes."""
    if not re.fullmatch(r"[\w./-]+", word) or word.startswith(("/", "own/", "-")):
        return False
    inside = word.startswith(
        ("broker/", "tests/", "deploy/", "protos/", "policies/", ".ci/", "adapters/", "listeners/")
    )
    return word.endswith(KEPT) or inside


@every_page
def test_every_test_that_is_named_exists(page: Path) -> None:
    missing = []
    for path, function in re.findall(r"(tests/[\w/]+\.py)(?:::(\w+))?", page.read_text()):
        where = ROOT / path
        if not where.exists() or (function and f"def {function}(" not in where.read_text()):
            missing.append(f"{path}::{function}")
    assert missing == []


@every_page
def test_every_command_that_is_shown_exists_with_its_options(page: Path) -> None:
    if page == CHANGELOG:
        pytest.skip("a changelog also names what was")
    assert [wrong for line in commands(page.read_text()) for wrong in mistakes(line)] == []


def test_commands_are_shown() -> None:
    assert len([line for page in PAGES for line in commands(page.read_text())]) > 60


def mistakes(line: str) -> Iterator[str]:
    """What of a command line the CLI does not know."""
    line = line.removeprefix("TOKEN=$(").split(" | ")[0].split(" < ")[0].split(" > ")[0]
    words = shlex.split(line.rstrip(")").replace("…", " ").replace("'", " "))[1:]
    at: Any = typer.main.get_command(app)
    context = at.make_context("broker", [], resilient_parsing=True)
    while words and hasattr(at, "commands") and not words[0].startswith("-"):
        known: Mapping[str, Any] = at.commands
        if words[0] not in known:
            if re.fullmatch(r"[a-z-]+", words[0]):
                yield f"{line}: no command {words[0]}"
            return
        _, at, _ = at.resolve_command(context, [words.pop(0)])
    options = {option for parameter in at.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for option in (word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)):
        if option not in {*options, "--help"}:
            yield f"{line}: no option {option}"


def test_a_mistake_in_a_command_is_seen() -> None:
    assert [*mistakes("broker audti verify DIR")]
    assert [*mistakes("broker audit verfy DIR")]
    assert [*mistakes("broker audit verify DIR --vkeys FILE")]
    assert [*mistakes("broker audit verify DIR --vkey FILE --json")] == []


@every_page
def test_every_target_of_make_exists(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    shown = re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", page.read_text(), re.MULTILINE)
    targets = {target for pair in shown for target in pair if target}
    assert {target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)} == set()


@every_page
def test_every_reason_that_is_named_exists(page: Path) -> None:
    named = {word for word in code(page.read_text()) if re.fullmatch(r"[A-Z]+(_[A-Z]+)+", word)}
    assert named - {kind.value for kind in Kind} - THEIRS == set()


def test_nothing_speaks_of_what_is_not_in_the_tree() -> None:
    """Words that once were true, or true elsewhere."""
    stale = ("DESIGN.md", "PASS: ", "thread signs", "fixed by DESIGN", "as DESIGN")
    texts = [
        *PAGES,
        *(path for folder in ("broker", "tests", "deploy") for path in (ROOT / folder).rglob("*.py")),
    ]
    said = {f"{name(path)}: {word}" for path in texts for word in stale if word in path.read_text()}
    assert {each for each in said if not each.startswith("tests/docs/test_words.py")} == set()
