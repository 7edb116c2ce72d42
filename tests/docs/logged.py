"""What the broker's own log may say, read from the source: the line, its level, its fields.

Knows: how structlog is called. Must not know: when a line is said.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.docs.pages import ROOT

_LEVELS = ("debug", "info", "warning", "error", "critical", "exception")


class Logged(NamedTuple):
    """One line of the log."""

    event: str
    level: str
    fields: tuple[str, ...]


def logged() -> list[Logged]:
    """Every line once, by its text."""
    lines: dict[tuple[str, str], set[str]] = {}
    for path in (ROOT / "broker").rglob("*.py"):
        for event, level, fields in _of(path):
            lines.setdefault((event, level), set()).update(fields)
    return [Logged(event, level, tuple(sorted(fields))) for (event, level), fields in sorted(lines.items())]


def _of(path: Path) -> Iterator[tuple[str, str, list[str]]]:
    tree = ast.parse(path.read_text())
    bound = dict(_bound(tree))
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in _LEVELS:
            by = ast.unparse(call.func.value)
            if "log" not in by.rpartition(".")[2]:
                continue
            event = call.args[0]
            assert isinstance(event, ast.Constant), f"{path}:{call.lineno}: an event is a name, not made up"
            yield str(event.value), call.func.attr, [*_names(call), *bound.get(by, ())]


def _bound(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    """The fields that a logger of this module was bound to, by the name it goes by."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            made = node.value
            if isinstance(made.func, ast.Attribute) and made.func.attr == "bind":
                yield from ((ast.unparse(target), _names(made)) for target in node.targets)


def _names(call: ast.Call) -> list[str]:
    return [word.arg or "…" for word in call.keywords]
