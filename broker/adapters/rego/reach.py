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
_RULE = re.compile(r"^\s*(?:default\s+)?(?!(?:package|import|default|else)\b)([A-Za-z_]\w*)", re.MULTILINE)
_WORD = re.compile(r"(?<![\w.])[A-Za-z_]\w*")

Path = tuple[str, ...]


def reached(modules: Sequence[Module], package: str, rule: str) -> list[Module]:
    """The modules that define `rule` of `package`, and all that any of them mentions, in their own order.

    A rule of the same package is mentioned by its bare name, one of another by its path under `data`; a
    mention that is no dotted path counts as everything below it. Every mention in code counts, so that
    nothing a rule can reach is ever left out.

    >>> calls = Module("calls", "package broker.calls\\nimport data.broker.grants\\ndecision := grants.role")
    >>> others = [Module("grants", "package broker.grants\\nrole := 1"), Module("x", "package broker.admin")]
    >>> more = Module("more", "package broker.calls\\nexplanation := 1")
    >>> [module.name for module in reached([calls, more, *others], "broker.calls", "decision")]
    ['calls', 'grants']
    """
    mentions: set[Path] = {(*package.split("."), rule)}
    found: set[str] = set()
    while True:
        new = [it for it in modules if it.name not in found and _is_meant(it, mentions)]
        if not new:
            return [module for module in modules if module.name in found]
        for module in new:
            found.add(module.name)
            mentions |= _mentions(module) | _siblings(module)


def mentioned(modules: Sequence[Module], base: Mapping[str, object]) -> dict[str, object]:
    """The part of the base document that the modules mention: whole top-level values."""
    firsts = {path[:1] for module in modules for path in _mentions(module)}
    return {name: value for name, value in base.items() if () in firsts or (name,) in firsts}


def _package(code: str) -> Path:
    named = _PACKAGE.search(code)
    return tuple(named[1].split(".")) if named else ()


def _mentions(module: Module) -> set[Path]:
    return {tuple(mention[1].split(".")[1:]) for mention in _MENTION.finditer(code_of(module))}


def _siblings(module: Module) -> set[Path]:
    """Every word of the module, as though it were a rule of its package."""
    code = code_of(module)
    return {(*_package(code), word) for word in _WORD.findall(code)}


def _is_meant(module: Module, mentions: set[Path]) -> bool:
    """Whether one mention lies above, at or below a rule of the module."""
    code = code_of(module)
    rules = [(*_package(code), rule) for rule in set(_RULE.findall(_outermost(code)))]
    return any(path[: len(rule)] == rule[: len(path)] for path in mentions for rule in rules)


def _outermost(code: str) -> str:
    """The code outside all brackets, where rules begin."""
    depth, kept = 0, []
    for character in code:
        depth += character in "([{"
        if depth == 0:
            kept.append(character)
        depth -= character in ")]}"
    return "".join(kept)
