"""Nothing in `broker/` is there for tests alone: what only they use is offered, or lives with them."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.structure.sources import ROOT, modules

OFFERED = ("broker/client/", "broker/simulator/")
"""What others install and call, and OpenAI as tests see it."""
PLACE = re.compile(r"(broker(?:\.\w+)+):(\w+)")
"""How a command that is loaded late is named."""
OF_A_LIBRARY = {"httptools": re.compile(r"on_\w+")}
"""Methods that a library calls on whatever it is given."""
OF_AN_AWAITABLE = {"send", "throw", "close"}  # PEP 492: what `yield from` calls
PLAIN = {
    *("property", "staticmethod", "classmethod", "dataclass", "cache", "lru_cache", "cached_property"),
    *("contextmanager", "asynccontextmanager", "runtime_checkable", "total_ordering"),
}
"""Decorators that do not call, and tell nobody of, what they decorate; Typer's and pydantic's do."""
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def words(tree: ast.AST) -> Iterator[str]:
    """The names that code reads, alone or of something."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


@cache
def read_in(path: str) -> Counter[str]:
    return Counter(words(modules()[path]))


@cache
def used() -> Counter[str]:
    """How often each name is read in broker/; generated code calls what serves an RPC."""
    generated = [ast.parse(path.read_text()) for path in (ROOT / "broker/gen").rglob("*_grpc.py")]
    return Counter(word for tree in (*modules().values(), *generated) for word in words(tree))


@cache
def taken() -> frozenset[tuple[str, str]]:
    """(module's last name, name) of what any module takes of another one: `from a.b import c`, `b.c`, or the
    text `a.b:c`. A package takes nothing that it only gives on.
    """
    found: set[tuple[str, str]] = set()
    for path, tree in modules().items():
        gives_on = path.endswith("__init__.py")
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and not gives_on:
                found.update((node.module.rpartition(".")[2], alias.name) for alias in node.names)
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                found.add((node.value.id, node.attr))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                place = PLACE.fullmatch(node.value)
                if place is not None:
                    found.add((place[1].rpartition(".")[2], place[2]))
    return frozenset(found)


def is_used(path: str, node: Definition) -> bool:
    """Of a module: in it, or elsewhere, by way of its package too."""
    where = {Path(path).stem, *Path(path).parent.parts}
    return read_in(path)[node.name] > inside(node) or any((place, node.name) in taken() for place in where)


def inside(node: Definition) -> int:
    """How often a definition reads its own name: recursion is no use."""
    return sum(word == node.name for word in words(node))


def is_told_to_somebody(node: Definition) -> bool:
    """A command of Typer's, a validator of pydantic's: whoever decorates it calls it."""
    return bool({ast.unparse(each).split("(")[0].rpartition(".")[2] for each in node.decorator_list} - PLAIN)


def is_asked_for(path: str, owner: ast.ClassDef, node: Definition) -> bool:
    """A method that a base class has, ours or a library's, or that a library calls by its name."""
    made = getattr(importlib.import_module(path.removesuffix(".py").replace("/", ".")), owner.name)
    if any(hasattr(base, node.name) for base in inspect.getmro(made)[1:]):
        return True
    if node.name in OF_AN_AWAITABLE and hasattr(made, "__await__"):
        return True
    return any(
        library in read_in(path) and name.fullmatch(node.name) for library, name in OF_A_LIBRARY.items()
    )


def public(body: list[ast.stmt]) -> Iterator[Definition]:
    for node in body:
        if isinstance(node, DEFINITIONS) and not node.name.startswith("_"):
            yield node


def unused_of_modules() -> Iterator[str]:
    for path, tree in modules().items():
        for node in public(tree.body):
            if not is_used(path, node) and not is_told_to_somebody(node):
                yield f"{path}:{node.lineno}: {node.name}"


def unused_methods() -> Iterator[str]:
    for path, tree in modules().items():
        for owner in (each for each in tree.body if isinstance(each, ast.ClassDef)):
            for node in public(owner.body):
                if used()[node.name] <= inside(node) and not (
                    is_told_to_somebody(node) or is_asked_for(path, owner, node)
                ):
                    yield f"{path}:{node.lineno}: {owner.name}.{node.name}"


def test_everything_public_is_used_by_more_than_tests() -> None:
    found = [each for each in (*unused_of_modules(), *unused_methods()) if not each.startswith(OFFERED)]
    assert found == [], "offer it (a command, an RPC, a metric), or move it to the tests that use it"
