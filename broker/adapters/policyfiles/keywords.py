"""The keywords of a schema that one value keeps or breaks, whatever the rest of the data says.

Knows: those of JSON Schema (draft 7) that `schema/*.data.json` use, and `x-format`, `x-ascending` (two
fields in order), `x-exactly-one` (of these fields), `x-only-where` (another field says so) and `x-distinct`
(places that share no key). Must not know: tables, other nodes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from broker.adapters.policyfiles.flaws import (
    Flaw,
    Node,
    Place,
    as_list,
    as_object,
    brief,
    instead,
    meaning,
    told,
)

ValueJudge = Callable[[Node, object, object, Place], Iterator[Flaw]]


def required(node: Node, demand: object, value: object, place: Place) -> Iterator[Flaw]:
    for name in as_list(demand):
        if isinstance(value, dict) and name not in value:
            wanted = meaning(as_object(as_object(node.get("properties")).get(str(name))))
            yield Flaw(place, f"{told(place)} lacks `{name}`.", f"Add `{name}`: {wanted}.")


def _enum(node: Node, demand: object, value: object, place: Place) -> Iterator[Flaw]:
    choices = [str(each) for each in as_list(demand)]
    if value not in as_list(demand):
        yield Flaw(place, f"{told(place)} is {brief(value)}.", instead(str(value), choices, meaning(node)))


def _const(_: Node, demand: object, value: object, place: Place) -> Iterator[Flaw]:
    if value is not demand and (value != demand or isinstance(value, bool)):
        yield Flaw(place, f"{told(place)} is {brief(value)}.", f"Write {brief(demand)}.")


def _bounds(node: Node, _: object, value: object, place: Place) -> Iterator[Flaw]:
    low, high = node.get("minimum"), node.get("maximum")
    if isinstance(value, int | float) and not isinstance(value, bool):
        below = isinstance(low, int | float) and value < low
        above = isinstance(high, int | float) and value > high
        if below or above:
            yield Flaw(place, f"{told(place)} is {brief(value)}.", f"Write {meaning(node)}.")


def _least(node: Node, demand: object, value: object, place: Place) -> Iterator[Flaw]:
    if isinstance(demand, int) and isinstance(value, str | dict | list) and len(value) < demand:
        yield Flaw(place, f"{told(place)} is empty.", f"Write {meaning(node)}, or leave it out.")


def _most(_: Node, demand: object, value: object, place: Place) -> Iterator[Flaw]:
    if isinstance(demand, int) and isinstance(value, str) and len(value) > demand:
        yield Flaw(place, f"{told(place)} is too long.", f"Write {demand} characters at most, or several.")


def _many(_: Node, demand: object, value: object, place: Place) -> Iterator[Flaw]:
    if isinstance(demand, int) and isinstance(value, list) and len(value) > demand:
        yield Flaw(place, f"{told(place)} has {len(value)}.", f"Write {demand} at most.")


def _pattern(node: Node, demand: object, value: object, place: Place) -> Iterator[Flaw]:
    if isinstance(value, str) and not re.search(str(demand), value):
        yield Flaw(place, f"{told(place)} is {brief(value)}.", f"Write {meaning(node)}.")


def _format(node: Node, demand: object, value: object, place: Place) -> Iterator[Flaw]:
    """The one format there is: a minute of UTC, which compares as text."""
    if demand == "utc-minute" and isinstance(value, str):
        try:
            sound = datetime.strptime(value, "%Y-%m-%dT%H:%MZ").strftime("%Y-%m-%dT%H:%MZ") == value
        except ValueError:
            sound = False
        if not sound:
            yield Flaw(place, f"{told(place)} is {brief(value)}.", f"Write {meaning(node)}.")


def _ascending(_: Node, demand: object, value: object, place: Place) -> Iterator[Flaw]:
    first, second = (str(name) for name in as_list(demand))
    begin, end = as_object(value).get(first), as_object(value).get(second)
    comparable = isinstance(begin, str) and isinstance(end, str) and len(begin) == len(end)
    if comparable and str(begin) >= str(end):
        what = f"{told(place)} ends at {brief(end)}, which is not after {brief(begin)}."
        yield Flaw((*place, second), what, "Write two, where it goes on past midnight: one until 24:00.")


def _dependencies(_: Node, demand: object, value: object, place: Place) -> Iterator[Flaw]:
    fields = as_object(value)
    for name, others in as_object(demand).items():
        for other in as_list(others):
            if name in fields and other not in fields:
                what = f"{told((*place, name))} means nothing without `{other}`."
                yield Flaw((*place, name), what, f"Add `{other}`, or remove `{name}`.")


def _exactly_one(_: Node, demand: object, value: object, place: Place) -> Iterator[Flaw]:
    """Of the fields `of`; of none of them where a field has one of the values that `none-where` names."""
    rule, fields = as_object(demand), as_object(value)
    choices = [str(name) for name in as_list(rule.get("of"))]
    named = [name for name in choices if name in fields]
    wanted = " or ".join(f"`{name}`" for name in choices)
    for field, values in as_object(rule.get("none-where")).items():
        if fields.get(field) in as_list(values):
            for name in named:
                what = f"{told((*place, name))} means nothing for {fields[field]}."
                yield Flaw((*place, name), what, "Remove it.")
            return
    if not named:
        yield Flaw(place, f"{told(place)} lacks one of {wanted}.", f"Add {wanted}, and only one.")
    for name in named[1:]:
        yield Flaw(
            (*place, name), f"{told(place)} has `{named[0]}` as well as `{name}`.", "Write one of them."
        )


def _only_where(_: Node, demand: object, value: object, place: Place) -> Iterator[Flaw]:
    """A field means something only where another one has one of these values."""
    fields = as_object(value)
    for name, needed in as_object(demand).items():
        for other, values in as_object(needed).items():
            if name in fields and other in fields and fields[other] not in as_list(values):
                what = f"{told((*place, name))} means nothing where `{other}` is {brief(fields[other])}."
                yield Flaw((*place, name), what, "Remove it.")


def _distinct(_: Node, demand: object, value: object, place: Place) -> Iterator[Flaw]:
    seen: dict[str, str] = {}
    for path in as_list(demand):
        found: object = value
        for name in str(path).split("."):
            found = as_object(found).get(name)
        for key in as_object(found):
            if key in seen:
                what = f"{told((*place, *str(path).split('.'), key))} is named in `{seen[key]}`, too."
                yield Flaw((*place, *str(path).split("."), key), what, "Give each limit a name of its own.")
            seen.setdefault(key, str(path))


VALUE_JUDGES: Mapping[str, ValueJudge] = {
    "required": required,
    "enum": _enum,
    "const": _const,
    "minimum": _bounds,
    "minLength": _least,
    "minProperties": _least,
    "minItems": _least,
    "maxLength": _most,
    "maxItems": _many,
    "pattern": _pattern,
    "x-format": _format,
    "x-ascending": _ascending,
    "dependencies": _dependencies,
    "x-exactly-one": _exactly_one,
    "x-only-where": _only_where,
    "x-distinct": _distinct,
}
