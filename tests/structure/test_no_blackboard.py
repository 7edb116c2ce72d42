"""What a step knows it hands on as a value: nothing on the path writes into the fields of another object."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator

import pytest

from broker.call import phases
from tests.structure.sources import modules

CORE = ["broker/call", "broker/services", "broker/model"]


def assigned(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Where a field of anything but `self` is assigned or deleted, also by name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            if not (isinstance(node.value, ast.Name) and node.value.id == "self"):
                yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.Name | ast.Attribute):
            named = node.id if isinstance(node, ast.Name) else node.attr
            if named in ("setattr", "delattr", "__setattr__", "__delattr__", "__dict__", "vars"):
                yield node.lineno, ast.unparse(node)


@pytest.mark.parametrize("folder", CORE)
def test_no_module_writes_into_another_object(folder: str) -> None:
    found = [
        f"{path}:{line}: {what}" for path, tree in modules(folder).items() for line, what in assigned(tree)
    ]
    assert found == [], "hand it on as a value, or give what counts a method"


@pytest.mark.parametrize(
    "code",
    [
        "call.decision = 1",
        "call.size += 1",
        "call.size: int = 1",
        "call.decision, other = 1, 2",
        "self.call.decision = 1",
        "for call.decision in (): pass",
        "with a() as call.decision: pass",
        "del call.decision",
        "setattr(call, 'decision', 1)",
        "object.__setattr__(call, 'decision', 1)",
        "vars(call)['decision'] = 1",
    ],
)
def test_each_way_to_write_into_another_object_is_found(code: str) -> None:
    assert list(assigned(ast.parse(code)))
    assert not list(assigned(ast.parse("self.decision = call.decision; decision = self.call.decision")))


def test_no_phase_can_be_changed() -> None:
    made = [
        each for _, each in inspect.getmembers(phases, inspect.isclass) if each.__module__ == phases.__name__
    ]
    assert [
        each.__name__ for each in made if not (issubclass(each, tuple) and hasattr(each, "_fields"))
    ] == []
    assert len(made) > 5
