"""The modules of the broker as syntax trees."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


@cache
def modules(folder: str = "broker") -> dict[str, ast.Module]:
    """Path below the project → its syntax tree; what protoc made aside."""
    found = sorted((ROOT / folder).rglob("*.py"))
    return {
        str(path.relative_to(ROOT)): _tree(path)
        for path in found
        if (ROOT / "broker/gen") not in path.parents
    }


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())
