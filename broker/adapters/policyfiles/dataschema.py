"""Whether data is as its schema says: every fault of a document, with the path at which it lies.

Knows: the part of JSON Schema (draft 7) that `schema/*.data.json` use, and the keywords beside it that say
what a schema of one value cannot: `x-names` (a key of that table), `x-known` (a name that the broker knows),
`x-format`, `x-ascending` (two fields in order), `x-distinct` (places that share no key), `x-say` (what is
meant, in words). Must not know: files and lines. Objects are closed where they have `properties`. Equal
values of a map are judged once, so that 100,000 grants cost no more than their names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import orjson

from broker.adapters.policyfiles.dialect import did_you_mean

Place = tuple[str | int, ...]
Node = Mapping[str, object]
_LISTED = 12  # names told where none is close


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong at a place of the document, and what to do about it."""

    place: Place
    what: str
    remedy: str


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
            yield Flaw(place, f"{_told(place)} is {_kind_of(value)}.", f"Write {_say(node)}.")
            return
        for keyword, demand in node.items():
            judge = _JUDGES.get(keyword)
            if judge is not None:
                yield from judge(self, node, demand, value, place)

    def names_of(self, table: str) -> Collection[str]:
        """The keys of a table of the data."""
        found = self.tables.get(table)
        return found if isinstance(found, dict) else ()

    def _resolved(self, node: Node) -> Node:
        named = node.get("$ref")
        if not isinstance(named, str):
            return node
        found = _object(_object(self.root.get("definitions")).get(named.rpartition("/")[2]))
        return {**found, **{key: value for key, value in node.items() if key != "$ref"}}


_Judge = Callable[[DataSchema, Node, object, object, Place], Iterator[Flaw]]


def _properties(
    schema: DataSchema, node: Node, demand: object, value: object, place: Place
) -> Iterator[Flaw]:
    known = _object(demand)
    for name, child in _object(value).items():
        if name in known:
            yield from schema.judged(_object(known[name]), child, (*place, name))
        elif node.get("additionalProperties") is not True:
            yield _unknown((*place, name), str(node.get("title", "the data")), known, child)


def _required(_: DataSchema, node: Node, demand: object, value: object, place: Place) -> Iterator[Flaw]:
    for name in _list(demand):
        if isinstance(value, dict) and name not in value:
            wanted = _say(_object(_object(node.get("properties")).get(str(name))))
            yield Flaw(place, f"{_told(place)} lacks `{name}`.", f"Add `{name}`: {wanted}.")


def _map(schema: DataSchema, _: Node, demand: object, value: object, place: Place) -> Iterator[Flaw]:
    if not isinstance(demand, Mapping) or not isinstance(value, dict):
        return
    good: set[bytes] = set()
    for name, child in value.items():
        told = _written(child)
        if told in good:
            continue
        faults = list(schema.judged(demand, child, (*place, name)))
        yield from faults
        if not faults and told:
            good.add(told)


def _keys(schema: DataSchema, _: Node, demand: object, value: object, place: Place) -> Iterator[Flaw]:
    names = _object(demand)
    pattern = names.get("pattern")
    plain = isinstance(pattern, str) and not names.keys() & {"x-names", "x-known", "x-format"}
    fits = re.compile(str(pattern)).search if plain else None
    for name in _object(value):
        if fits is None or not fits(name):
            yield from schema.judged(names, name, (*place, name))


def _items(schema: DataSchema, _: Node, demand: object, value: object, place: Place) -> Iterator[Flaw]:
    for number, child in enumerate(_list(value)):
        yield from schema.judged(_object(demand), child, (*place, number))


def _then(schema: DataSchema, node: Node, demand: object, value: object, place: Place) -> Iterator[Flaw]:
    if not any(schema.judged(_object(node.get("if")), value, place)):
        yield from _required(schema, node, _object(demand).get("required"), value, place)


def _enum(_: DataSchema, node: Node, demand: object, value: object, place: Place) -> Iterator[Flaw]:
    choices = [str(each) for each in _list(demand)]
    if value not in _list(demand):
        yield Flaw(place, f"{_told(place)} is {_brief(value)}.", _meant(str(value), choices, _say(node)))


def _const(_: DataSchema, __: Node, demand: object, value: object, place: Place) -> Iterator[Flaw]:
    if value is not demand and (value != demand or isinstance(value, bool)):
        yield Flaw(place, f"{_told(place)} is {_brief(value)}.", f"Write {_brief(demand)}.")


def _bounds(_: DataSchema, node: Node, __: object, value: object, place: Place) -> Iterator[Flaw]:
    low, high = node.get("minimum"), node.get("maximum")
    if isinstance(value, int | float) and not isinstance(value, bool):
        below = isinstance(low, int | float) and value < low
        above = isinstance(high, int | float) and value > high
        if below or above:
            yield Flaw(place, f"{_told(place)} is {_brief(value)}.", f"Write {_say(node)}.")


def _least(_: DataSchema, node: Node, demand: object, value: object, place: Place) -> Iterator[Flaw]:
    if isinstance(demand, int) and isinstance(value, str | dict | list) and len(value) < demand:
        yield Flaw(place, f"{_told(place)} is empty.", f"Write {_say(node)}, or leave it out.")


def _most(_: DataSchema, __: Node, demand: object, value: object, place: Place) -> Iterator[Flaw]:
    if isinstance(demand, int) and isinstance(value, str) and len(value) > demand:
        yield Flaw(place, f"{_told(place)} is too long.", f"Write {demand} characters at most, or several.")


def _pattern(_: DataSchema, node: Node, demand: object, value: object, place: Place) -> Iterator[Flaw]:
    if isinstance(value, str) and not re.search(str(demand), value):
        yield Flaw(place, f"{_told(place)} is {_brief(value)}.", f"Write {_say(node)}.")


def _named(schema: DataSchema, _: Node, demand: object, value: object, place: Place) -> Iterator[Flaw]:
    table = str(demand)
    if isinstance(value, str) and value not in schema.names_of(table):
        what = f"{_told(place)} names {_brief(value)}, which is not in `{table}`."
        yield Flaw(place, what, _meant(value, schema.names_of(table), "", f"Or add it to `{table}`."))


def _known(schema: DataSchema, node: Node, demand: object, value: object, place: Place) -> Iterator[Flaw]:
    names = schema.known[str(demand)]
    if isinstance(value, str) and value not in names:
        what = f"{_told(place)} names {_brief(value)}, which is not {_say(node)}."
        yield Flaw(place, what, _meant(value, names, ""))


def _format(_: DataSchema, node: Node, demand: object, value: object, place: Place) -> Iterator[Flaw]:
    """The one format there is: a minute of UTC, which compares as text."""
    if demand == "utc-minute" and isinstance(value, str):
        try:
            sound = datetime.strptime(value, "%Y-%m-%dT%H:%MZ").strftime("%Y-%m-%dT%H:%MZ") == value
        except ValueError:
            sound = False
        if not sound:
            yield Flaw(place, f"{_told(place)} is {_brief(value)}.", f"Write {_say(node)}.")


def _ascending(_: DataSchema, __: Node, demand: object, value: object, place: Place) -> Iterator[Flaw]:
    first, second = (str(name) for name in _list(demand))
    begin, end = _object(value).get(first), _object(value).get(second)
    comparable = isinstance(begin, str) and isinstance(end, str) and len(begin) == len(end)
    if comparable and str(begin) >= str(end):
        what = f"{_told(place)} ends at {_brief(end)}, which is not after {_brief(begin)}."
        yield Flaw((*place, second), what, "Write two, where it goes on past midnight: one until 24:00.")


def _distinct(_: DataSchema, __: Node, demand: object, value: object, place: Place) -> Iterator[Flaw]:
    seen: dict[str, str] = {}
    for path in _list(demand):
        found: object = value
        for name in str(path).split("."):
            found = _object(found).get(name)
        for key in _object(found):
            if key in seen:
                what = f"{_told((*place, *str(path).split('.'), key))} is named in `{seen[key]}`, too."
                yield Flaw((*place, *str(path).split("."), key), what, "Give each limit a name of its own.")
            seen.setdefault(key, str(path))


_JUDGES: Mapping[str, _Judge] = {
    "properties": _properties,
    "required": _required,
    "additionalProperties": _map,
    "propertyNames": _keys,
    "items": _items,
    "then": _then,
    "enum": _enum,
    "const": _const,
    "minimum": _bounds,
    "minLength": _least,
    "minProperties": _least,
    "minItems": _least,
    "maxLength": _most,
    "pattern": _pattern,
    "x-names": _named,
    "x-known": _known,
    "x-format": _format,
    "x-ascending": _ascending,
    "x-distinct": _distinct,
}
_KINDS: Mapping[str, Callable[[object], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}
_WORDS = {"object": "an object", "array": "a list", "string": "a text", "boolean": "true or false"}


def _unknown(place: Place, title: str, known: Collection[str], value: object) -> Flaw:
    what = f"{_told(place)} is no field of {title}."
    return Flaw(place, what, _meant(str(place[-1]), known, "") if value is not None else "Remove it.")


def _meant(name: str, choices: Collection[str], say: str, otherwise: str = "") -> str:
    """What is spelt almost like it; otherwise what there is."""
    close = did_you_mean(name, choices)
    if not close and (few := sorted(choices)[:_LISTED]):
        more = " …" if len(choices) > len(few) else ""
        close = f"It may be {', '.join(few)}{more}."
    elif not close:
        close = f"Write {say}." if say else ""
    return f"{close} {otherwise}".strip() or "Remove it."


def _say(node: Node) -> str:
    """What belongs there, in words."""
    said = node.get("x-say", node.get("description"))
    return str(said) if said else _WORDS.get(str(node.get("type")), "a whole number")


def _kind_of(value: object) -> str:
    if isinstance(value, bool) or value is None or isinstance(value, int | float):
        return _brief(value)
    if isinstance(value, str):
        return f"the text {_brief(value)}"
    return _WORDS["array" if isinstance(value, list) else "object"]


def _told(place: Place) -> str:
    """
    >>> _told(("roles", "clerk", "windows", 0, "from"))
    '`roles.clerk.windows[0].from`'
    """
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return f"`{text.removeprefix('.')}`" if place else "The data"


def _brief(value: object) -> str:
    try:
        text = orjson.dumps(value).decode()
    except TypeError:
        text = "a number too large"
    return text if len(text) <= 60 else f"{text[:60]}…"  # noqa: PLR2004 - what a line has room for


def _written(value: object) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # a number beyond 64 bits
        return b""


def _object(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
