"""Which modules and tables one decision point can reach.

Knows: the text of modules. Must not know: the engine. rego-cpp walks the whole compiled bundle before each
evaluation and copies all of its variables for many a built-in, so that a decision pays for every rule beside
it: each point is therefore compiled alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from broker.adapters.rego.dialect import code_of
from broker.adapters.rego.source import Module

_PACKAGE = re.compile(r"^package\s+([\w.]+)", re.MULTILINE)
_MENTION = re.compile(r"(?<![\w.])data((?:\.[A-Za-z_]\w*)*)(?![\w.])")


def reached(modules: Sequence[Module], package: str) -> list[Module]:
    """The modules of `package` and those that any of them mentions, in their own order.

    Every mention of `data` in code counts, and one that is not a dotted path counts as everything below it,
    so that nothing a rule can reach is ever left out.

    >>> calls = Module("calls", "package broker.calls\\nimport data.broker.grants")
    >>> others = [Module("grants", "package broker.grants"), Module("admin", "package broker.admin")]
    >>> [module.name for module in reached([calls, *others], "broker.calls")]
    ['calls', 'grants']
    """
    paths, found = {tuple(package.split("."))}, set[str]()
    while True:
        new = [it for it in modules if it.name not in found and any(_meet(_package(it), p) for p in paths)]
        if not new:
            return [module for module in modules if module.name in found]
        found |= {module.name for module in new}
        paths |= {path for module in new for path in _mentions(module)}


def mentioned(modules: Sequence[Module], base: Mapping[str, object]) -> dict[str, object]:
    """The part of the base document that the modules mention: whole top-level values."""
    firsts = {path[:1] for module in modules for path in _mentions(module)}
    return {name: value for name, value in base.items() if () in firsts or (name,) in firsts}


def _package(module: Module) -> tuple[str, ...]:
    named = _PACKAGE.search(code_of(module))
    return tuple(named[1].split(".")) if named else ()


def _mentions(module: Module) -> set[tuple[str, ...]]:
    return {tuple(mention[1].split(".")[1:]) for mention in _MENTION.finditer(code_of(module))}


def _meet(package: tuple[str, ...], path: tuple[str, ...]) -> bool:
    """Whether one lies inside the other."""
    return all(a == b for a, b in zip(package, path, strict=False))
