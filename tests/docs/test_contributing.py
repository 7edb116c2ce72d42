"""CONTRIBUTING.md names files, symbols, tests and targets that are there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.docs.pages import ARCHITECTURE, README, ROOT

PAGE = ROOT / "broker/CONTRIBUTING.md"
TEXT = PAGE.read_text()
_PATH = r"(?:broker|tests|policies|protos|deploy)(?:/[\w.]+)+"
RECIPES = (
    "A new content rule",
    "A new operation of OpenAI's API",
    "A new field, or type, of a record",
    "A new setting",
    "A new source of keys",
)


def test_every_file_that_is_named_is_there() -> None:
    named = set(re.findall(rf"(?<![\w/.]){_PATH}", TEXT))
    assert len(named) > 40
    assert [path for path in sorted(named) if not (ROOT / path.rstrip(".")).exists()] == []


def test_every_symbol_that_is_named_is_in_its_file() -> None:
    for line in TEXT.splitlines():
        path = None
        for found, symbol in re.findall(rf"`({_PATH})?(?:::(\w+))?`", line):
            path = found or path
            if symbol and path:
                assert symbol in set(_defined(ROOT / path)), f"{path}::{symbol}"


def _defined(path: Path) -> Iterator[str]:
    """What a module defines on its own level."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        yield from (target.id for target in targets if isinstance(target, ast.Name))


def test_every_target_that_is_named_is_one() -> None:
    made = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = re.findall(r"^make ([a-z -]+)", TEXT, re.MULTILINE)
    named = {word for words in shown for word in words.split()} | set(re.findall(r"`make ([a-z-]+)`", TEXT))
    assert named - made == set()


def test_every_recipe_names_places_in_order_and_ends_with_a_command() -> None:
    recipes = re.split(r"^### ", TEXT.partition("\n## Recipes\n")[2], flags=re.MULTILINE)[1:]
    assert tuple(recipe.partition("\n")[0] for recipe in recipes) == RECIPES
    for recipe in recipes:
        steps = re.findall(r"^(\d+)\. ", recipe, re.MULTILINE)
        assert steps == [str(number + 1) for number in range(len(steps))]
        assert len(steps) > 3
        assert "-m pytest" in recipe.rpartition("\n```\n")[0].rpartition("```\n")[2]


def test_every_test_that_is_named_is_there() -> None:
    everything = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", TEXT))
    assert [name for name in named if f"def {name}(" not in everything] == []


def test_it_is_linked_where_a_reader_begins() -> None:
    assert "](CONTRIBUTING.md)" in ARCHITECTURE.read_text()
    assert "](broker/CONTRIBUTING.md)" in README.read_text()
