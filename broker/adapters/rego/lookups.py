"""Tables that are looked up beside the engine.

Knows: one weakness of rego-cpp. Must not know: what is in a table. It finds a key by walking the whole object
(0.6 µs an entry) and loads objects in quadratic time: 100,000 grants took 147 s to load and 63 ms a decision.
A top-level object that the modules use in the form `data.<name>[input.<path>]` and in no other is therefore
kept in a Python dict, and the one entry that an evaluation can reach enters as a part of its input.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from broker.adapters.policyfiles.dialect import Path, code_of
from broker.adapters.policyfiles.source import Module

_WHOLE_DATA = re.compile(r"(?<![\w.])data(?!\.[A-Za-z_]|\w)")


@dataclass(frozen=True, slots=True)
class Lookup:
    """The entry of `table` under the string at `path` of the input enters as `slot` of the input."""

    slot: str
    path: Path
    table: Mapping[str, object] = field(repr=False)

    def entry(self, document: Mapping[str, object]) -> object:
        """The entry this document reaches, or None."""
        key: object = document
        for name in self.path:
            key = key.get(name) if isinstance(key, dict) else None
        return self.table.get(key) if isinstance(key, str) else None


def extract(
    modules: Sequence[Module], base: Mapping[str, object]
) -> tuple[list[Module], dict[str, object], list[Lookup]]:
    """The modules with lookups in place of tables, the base document without those tables, the lookups."""
    code = "\n".join(code_of(module) for module in modules)
    lookups: list[Lookup] = []
    for name, table in base.items():
        if isinstance(table, dict) and None not in table.values():
            lookups += [Lookup(f"data.{name}[{path}]", _path(path), table) for path in _paths(code, name)]
    kept = {name: value for name, value in base.items() if not any(value is it.table for it in lookups)}
    return [_rewritten(module, lookups) for module in modules], kept, lookups


def _paths(code: str, name: str) -> list[str]:
    """The input paths by which the table is indexed; none where it is also used in another way."""
    mentions = re.findall(rf"(?<![\w.])data\.{re.escape(name)}\b(\[input(?:\.[A-Za-z_]\w*)+\])?", code)
    if "" in mentions or _WHOLE_DATA.search(code):
        return []
    return sorted({mention[1:-1] for mention in mentions})


def _path(text: str) -> Path:
    return tuple(text.split(".")[1:])


def _rewritten(module: Module, lookups: Sequence[Lookup]) -> Module:
    """Replaces from the end, in code only, so that strings, comments and line numbers stay."""
    code, text = code_of(module), module.text
    places = [(at.start(), it.slot) for it in lookups for at in re.finditer(re.escape(it.slot), code)]
    for start, slot in sorted(places, reverse=True):
        text = f'{text[:start]}input["{slot}"]{text[start + len(slot) :]}'
    return Module(module.name, text)
