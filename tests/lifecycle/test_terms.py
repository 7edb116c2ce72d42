"""Who asks, which way and under which name is one value: no signature spells it out."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

BROKER = Path(__file__).parents[2] / "broker"
APART = {"call_id", "transport"}


def _signatures() -> Iterator[tuple[str, set[str]]]:
    for file in BROKER.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
                yield f"{file.name}:{node.name}", {each.arg.lstrip("_") for each in arguments}


def test_no_signature_takes_apart_what_request_context_holds() -> None:
    found = dict(_signatures())
    assert len(found) > 1000
    assert not [place for place, names in found.items() if names >= APART]
