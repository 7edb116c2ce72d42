"""Sets of names that are asked beside the engine whether they hold a name of the input.

Knows: the one form in which policies ask that, and what it means. Must not know: what is in a set. The engine
takes 25 microseconds a pattern each time: a set of 4,000 held a decision up for a third of a second. Where a
rule says `grants.holds(data.models[…], input.call.model)`, the names of the entries of `models` that hold the
name therefore enter as a part of the input, and it is asked for the one among them (adr/0073).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from broker.adapters.policyfiles.dialect import Path, code_of, outline_of
from broker.adapters.policyfiles.patterns import is_slow
from broker.adapters.policyfiles.scopes import Brackets
from broker.adapters.policyfiles.slicing import mentioned
from broker.adapters.policyfiles.source import Module, shipped_policies
from broker.adapters.policyfiles.statements import statements
from broker.model.namesets import NameSet, NameSets

_ASKS = re.compile(r"(?<![\w.])grants\.holds\(data\.([A-Za-z_]\w*)(?=\[)")
_ABOUT = re.compile(r"\], input((?:\.[A-Za-z_]\w*)+)\)")
_OUR_GRANTS = re.compile(r"^import data\.broker\.grants$", re.MULTILINE)
_PACKAGE = re.compile(r"^package broker\.grants$", re.MULTILINE)
_ASKED_OF = frozenset({"holds", "fits", "follow"})
_SPECIAL = frozenset("[]{}?\\")


@dataclass(frozen=True, slots=True)
class AskedSets:
    """The names of the entries of a table that hold the string at `path` of the input enter as `slot`."""

    slot: str
    path: Path
    sets: NameSets = field(repr=False)

    def entry(self, document: Mapping[str, object]) -> object:
        """The names as keys, or None where there are none."""
        name: object = document
        for step in self.path:
            name = name.get(step) if isinstance(name, dict) else None
        return dict.fromkeys(self.sets.holding(name), True) or None if isinstance(name, str) else None


def extract(
    modules: Sequence[Module], base: Mapping[str, object]
) -> tuple[list[Module], dict[str, object], list[AskedSets]]:
    """The modules that look up what they asked for; the base document without tables that nothing else reads;
    and the sets.
    """
    found: dict[str, AskedSets] = {}
    if _meaning(modules) != _released():
        return list(modules), dict(base), []
    rewritten = [_rewritten(module, base, found) for module in modules]
    return rewritten, mentioned(rewritten, base) if found else dict(base), list(found.values())


def _meaning(modules: Iterable[Module]) -> frozenset[str]:
    """What `grants.holds` is, without comments and white space; an author may have changed it."""
    return frozenset(
        " ".join(outline_of(module)[each.start : each.end].split())
        for module in modules
        if _PACKAGE.search(code_of(module))
        for each in statements(module)
        if each.head in _ASKED_OF
    )


@lru_cache(maxsize=1)
def _released() -> frozenset[str]:
    file = shipped_policies() / "grants.rego"
    return _meaning([Module(file.name, file.read_text())])


def _rewritten(module: Module, base: Mapping[str, object], found: dict[str, AskedSets]) -> Module:
    """Replaces from the end, in code only, so that strings, comments and line numbers stay."""
    text = module.text
    for table, key, path, (start, end) in reversed([*_questions(code_of(module))]):
        sets = _sets(base.get(table))
        if sets is not None:
            slot = f"data.{table} that hold input{path}"
            if slot not in found:
                found[slot] = AskedSets(slot, tuple(path.split(".")[1:]), NameSets(sets))
            text = f'{text[:start]}input["{slot}"][{text[slice(*key)]}]{text[end:]}'
    return Module(module.name, text)


def _questions(code: str) -> Iterator[tuple[str, tuple[int, int], str, tuple[int, int]]]:
    """Each table that is asked, where its key stands, the path of the name, and where all of it stands."""
    found = [*_ASKS.finditer(code)] if _OUR_GRANTS.search(code) else []
    closing = Brackets.of(code).closing if found else {}
    for each in found:
        about = _ABOUT.match(code, closing[each.end()])
        if about:
            yield each[1], (each.end() + 1, closing[each.end()]), about[1], (each.start(), about.end())


def _sets(table: object) -> dict[str, NameSet] | None:
    """What the entries hold; None where some are not what `grants.holds` knows."""
    if not isinstance(table, dict):
        return None
    sets = {own: _set(entry) for own, entry in table.items()}
    return {own: each for own, each in sets.items() if each} if None not in sets.values() else None


def _set(entry: object) -> NameSet | None:
    exact, patterns = (entry.get("exact"), entry.get("patterns")) if isinstance(entry, dict) else (None, None)
    if not isinstance(exact, dict) or not isinstance(patterns, list):
        return None
    is_plain = all(each is True for each in exact.values()) and all(map(_is_plain, patterns))
    return NameSet(exact, patterns) if is_plain else None


def _is_plain(pattern: object) -> bool:
    return isinstance(pattern, str) and not is_slow(pattern) and _SPECIAL.isdisjoint(pattern)
