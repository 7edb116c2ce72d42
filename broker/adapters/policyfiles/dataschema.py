"""Whether data is as its schema says: every fault of a document, with the path at which it lies.

Knows: the part of JSON Schema (draft 7) that `schema/*.data.json` use, and the keywords beside it that say
what a schema of one value cannot: `x-names` (a key of that table), `x-known` (a name that the broker knows),
`x-say` (what is meant, in words). Must not know: files and lines. Objects are closed where they have
`properties`. Equal values of a map are judged once, so that 100,000 grants cost no more than their names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

import orjson

from broker.adapters.policyfiles.flaws import (
    Flaw,
    Node,
    Place,
    as_list,
    as_object,
    brief,
    instead,
    kind_of,
    meaning,
    told,
    unknown,
)
from broker.adapters.policyfiles.keywords import VALUE_JUDGES, required


@dataclass(frozen=True, slots=True)
class DataSchema:
    """One schema, the tables that `x-names` means, and the names that `x-known` means."""

    root: Node = field(repr=False)
    tables: Mapping[str, object] = field(repr=False)
    known: Mapping[str, Collection[str]] = field(repr=False)

    def faults(self, value: object, place: Place = ()) -> Iterator[Flaw]:
        """All of them, in the order of the schema."""
        return self.judged(self.root, value, place)

    def judged(self, node: Node, value: object, place: Place) -> Iterator[Flaw]:
        """The faults of a value under one node of the schema."""
        node = self._resolved(node)
        kind = node.get("type")
        if isinstance(kind, str) and not _KINDS[kind](value):
            yield Flaw(place, f"{told(place)} is {kind_of(value)}.", f"Write {meaning(node)}.")
            return
        for keyword, demand in node.items():
            if keyword in _JUDGES:
                yield from _JUDGES[keyword](self, node, demand, value, place)
            elif keyword in VALUE_JUDGES:
                yield from VALUE_JUDGES[keyword](node, demand, value, place)

    def names_of(self, table: str) -> Collection[str]:
        """The keys of a table of the data."""
        found = self.tables.get(table)
        return found if isinstance(found, dict) else ()

    def _resolved(self, node: Node) -> Node:
        named = node.get("$ref")
        if not isinstance(named, str):
            return node
        found = as_object(as_object(self.root.get("definitions")).get(named.rpartition("/")[2]))
        return {**found, **{key: value for key, value in node.items() if key != "$ref"}}


_Judge = Callable[[DataSchema, Node, object, object, Place], Iterator[Flaw]]


def _properties(
    schema: DataSchema, node: Node, demand: object, value: object, place: Place
) -> Iterator[Flaw]:
    known = as_object(demand)
    for name, child in as_object(value).items():
        if name in known:
            yield from schema.judged(as_object(known[name]), child, (*place, name))
        elif node.get("additionalProperties") is not True:
            yield unknown((*place, name), str(node.get("title", "the data")), known, child)


def _map(schema: DataSchema, _: Node, demand: object, value: object, place: Place) -> Iterator[Flaw]:
    if not isinstance(demand, Mapping) or not isinstance(value, dict):
        return
    good: set[bytes] = set()
    for name, child in value.items():
        written = _written(child)
        if written in good:
            continue
        faults = list(schema.judged(demand, child, (*place, name)))
        yield from faults
        if not faults and written:
            good.add(written)


def _keys(schema: DataSchema, _: Node, demand: object, value: object, place: Place) -> Iterator[Flaw]:
    names = as_object(demand)
    pattern = names.get("pattern")
    plain = isinstance(pattern, str) and not names.keys() & {"x-names", "x-known", "x-format"}
    fits = re.compile(str(pattern)).search if plain else None
    for name in as_object(value):
        if fits is None or not fits(name):
            yield from schema.judged(names, name, (*place, name))


def _items(schema: DataSchema, _: Node, demand: object, value: object, place: Place) -> Iterator[Flaw]:
    for number, child in enumerate(as_list(value)):
        yield from schema.judged(as_object(demand), child, (*place, number))


def _then(schema: DataSchema, node: Node, demand: object, value: object, place: Place) -> Iterator[Flaw]:
    if not any(schema.judged(as_object(node.get("if")), value, place)):
        yield from required(node, as_object(demand).get("required"), value, place)


def _named(schema: DataSchema, _: Node, demand: object, value: object, place: Place) -> Iterator[Flaw]:
    table = str(demand)
    if isinstance(value, str) and value not in schema.names_of(table):
        what = f"{told(place)} names {brief(value)}, which is not in `{table}`."
        yield Flaw(place, what, instead(value, schema.names_of(table), "", f"Or add it to `{table}`."))


def _known(schema: DataSchema, node: Node, demand: object, value: object, place: Place) -> Iterator[Flaw]:
    names = schema.known[str(demand)]
    if isinstance(value, str) and value not in names:
        what = f"{told(place)} names {brief(value)}, which is not {meaning(node)}."
        yield Flaw(place, what, instead(value, names, ""))


_JUDGES: Mapping[str, _Judge] = {
    "properties": _properties,
    "additionalProperties": _map,
    "propertyNames": _keys,
    "items": _items,
    "then": _then,
    "x-names": _named,
    "x-known": _known,
}
_KINDS: Mapping[str, Callable[[object], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}


def _written(value: object) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # a number beyond 64 bits
        return b""
