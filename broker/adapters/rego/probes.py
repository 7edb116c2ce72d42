"""Inputs to try policies with: what the broker might ask them, made of schemas, data and the policies' words.

Knows: JSON Schema as `schema/*.input.json` uses it, and the names the broker knows. Must not know: engines,
rules. The same seed gives the same inputs.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from broker.adapters.policyfiles.known import known_names
from broker.adapters.policyfiles.source import Module
from broker.ports import DecisionPoint

Document = dict[str, object]
_LITERAL = re.compile(r'"([^"\\\n]{1,128})"|`([^`"\\]{1,128})`')
_NUMBER = re.compile(r"(?<![\w.\"])\d{1,15}(?![\w.])")
_MOST_WORDS = 5_000
_OPERATIONS = ("call.operation", "request.scope.operation")
_NOBODY = "spiffe://nobody.example/ns/none/sa/none"
_USUAL = 0.7  # of the calls: by somebody granted, for an operation of its role and a model of that
_MUTATED = 0.5


@dataclass(frozen=True, slots=True)
class ProbeVocabulary:
    """The words and numbers that policies may compare an input with: their data's, and those they write."""

    base: Mapping[str, object] = field(repr=False)
    words: tuple[str, ...] = field(repr=False)
    numbers: tuple[int, ...] = field(repr=False)

    @classmethod
    def of(cls, modules: Sequence[Module], base: Mapping[str, object]) -> ProbeVocabulary:
        """Bounded; what is met first is kept."""
        words = {found[1] or found[2]: None for it in modules for found in _LITERAL.finditer(it.text)}
        numbers = {int(found[0]) for it in modules for found in _NUMBER.finditer(it.text)}
        pending: list[object] = [base]
        for value in pending:  # it grows as it is walked
            if len(words) > _MOST_WORDS:
                break
            if isinstance(value, dict):
                words |= dict.fromkeys(value)
                pending += value.values()
            elif isinstance(value, list):
                pending += value
            elif isinstance(value, str):
                words[value] = None
            elif isinstance(value, int):
                numbers.add(value)
        around = {each + step for each in numbers for step in (-1, 0, 1)} | {0, 1, 2**40}
        return cls(base, tuple(words), tuple(sorted(around)))


class Probes:
    """Inputs of each decision point, without end."""

    def __init__(
        self, schemas: Mapping[str, Mapping[str, object]], words: ProbeVocabulary, seed: str
    ) -> None:
        """`schemas` are those of the inputs, by decision point."""
        self._schemas = schemas
        self._words = words
        self._chance = Random(seed)  # noqa: S311 - repeatable, not secret
        self._subjects = (*_keys(words.base, "grants"), *_keys(words.base, "break_glass"), _NOBODY)

    def any(
        self, known: Mapping[DecisionPoint, Sequence[Document]]
    ) -> Iterator[tuple[DecisionPoint, Document]]:
        """Half of them are changed copies of `known` ones, where there are any; calls are the most."""
        while True:
            point = self._chance.choice((*DecisionPoint, DecisionPoint.CALLS, DecisionPoint.CALLS))
            schema = self._schemas[point.value]
            if known.get(point) and self._chance.random() < _MUTATED:
                yield point, self._changed(self._chance.choice(known[point]), schema)
            else:
                yield point, self._made(point, schema)

    def _made(self, point: DecisionPoint, schema: Mapping[str, object]) -> Document:
        document = self._object(schema, "")
        if point is DecisionPoint.CALLS and self._chance.random() < _USUAL:
            self._grant(document)
        return document

    def _grant(self, document: Document) -> None:
        """Makes it a call that the data may grant: by a role's operations, and their models."""
        base, call = self._words.base, _own(document, "call")
        subject = _own(document, "subject")
        grant = _entry(base, "grants", subject.get("id"))
        operations = _object(_entry(base, "roles", grant.get("role")).get("operations"))
        subject["actor_chain"] = []
        if operations:
            call["operation"] = operation = self._chance.choice([*operations])
            exact = _object(_entry(base, "models", operations[operation]).get("exact"))
            call["model"] = self._chance.choice([*exact, "gpt-4o"])
        for part, name, nothing in (
            (call, "reaches", []),
            (call, "parameters", {}),
            (document, "findings", []),
        ):
            if self._chance.random() < _USUAL:
                part[name] = nothing

    def _changed(self, known: Document, schema: Mapping[str, object]) -> Document:
        """With one to three values drawn anew."""
        document = copy.deepcopy(known)
        for _ in range(self._chance.randint(1, 3)):
            self._change(document, schema, "")
        return document

    def _change(self, node: Document, schema: Mapping[str, object], path: str) -> None:
        properties = _object(schema.get("properties"))
        name = self._chance.choice([*properties])
        below, child, path = _object(properties[name]), node.get(name), f"{path}.{name}".lstrip(".")
        if isinstance(child, dict) and _object(below.get("properties")):
            self._change(child, below, path)
        else:
            node[name] = self._value(below, path)

    def _value(self, schema: Mapping[str, object], path: str) -> object:
        """Anything that the schema allows."""
        for each in ("enum", "anyOf", "type"):
            choices = schema.get(each)
            if isinstance(choices, list):
                chosen = self._chance.choice(choices)
                return chosen if each == "enum" else self._value(_narrowed(schema, each, chosen), path)
        if "const" in schema:
            return schema["const"]
        makers = {
            "object": self._object,
            "array": self._array,
            "string": self._text,
            "integer": self._integer,
            "number": self._number,
            "boolean": self._boolean,
        }
        make = makers.get(str(schema.get("type")))
        return make(schema, path) if make is not None else None

    def _array(self, schema: Mapping[str, object], path: str) -> list[object]:
        length = self._chance.choice((0, 0, 1, 1, 2, 3))
        return [self._value(_object(schema.get("items")), path) for _ in range(length)]

    def _integer(self, schema: Mapping[str, object], _path: str) -> int:
        low, high = schema.get("minimum"), schema.get("maximum")
        is_bounded = isinstance(low, int) and isinstance(high, int)
        return self._chance.randint(low, high) if is_bounded else self._chance.choice(self._words.numbers)  # type: ignore[arg-type]

    def _number(self, _schema: Mapping[str, object], _path: str) -> float:
        return self._chance.choice((0.5, 1.5, *self._words.numbers))

    def _boolean(self, _schema: Mapping[str, object], _path: str) -> bool:
        return self._chance.choice((True, False))

    def _object(self, schema: Mapping[str, object], path: str) -> Document:
        properties = _object(schema.get("properties"))
        made = {
            name: self._value(_object(each), f"{path}.{name}".lstrip("."))
            for name, each in properties.items()
        }
        more = schema.get("additionalProperties")
        if isinstance(more, dict):
            names = sorted(known_names()["field"])
            made |= {
                self._chance.choice(names): self._value(more, path) for _ in range(self._chance.randint(0, 3))
            }
        return made

    def _text(self, schema: Mapping[str, object], path: str) -> str:
        names = known_names()
        known: dict[str, Sequence[str]] = {
            "subject.id": self._subjects,
            "action": sorted(names["action"]),
            "findings.rule": sorted(names["reply"]),
            **dict.fromkeys(_OPERATIONS, sorted(names["operation"])),
        }
        pattern = str(schema.get("pattern", ""))
        if pattern:
            return self._matching(pattern)
        return self._chance.choice(known.get(path) or (*self._words.words, "", "x"))

    def _matching(self, pattern: str) -> str:
        """A word of the policies that matches, or a time."""
        fitting = [word for word in self._words.words if re.search(pattern, word)]
        if fitting and self._chance.random() < _MUTATED:
            return self._chance.choice(fitting)
        draw = self._chance.randint
        clock = f"{draw(0, 23):02}:{draw(0, 59):02}"
        return (
            clock if pattern.startswith("^[0-9]{2}:") else f"2026-{draw(1, 12):02}-{draw(1, 28):02}T{clock}Z"
        )


def _narrowed(schema: Mapping[str, object], keyword: str, chosen: object) -> Mapping[str, object]:
    """The schema with one of its choices made."""
    return {**schema, "type": chosen} if keyword == "type" else _object(chosen)


def _keys(base: Mapping[str, object], name: str) -> tuple[str, ...]:
    return tuple(_object(base.get(name)))


def _entry(base: Mapping[str, object], table: str, key: object) -> Mapping[str, object]:
    return _object(_object(base.get(table)).get(str(key)))


def _own(document: Document, name: str) -> Document:
    """An object of the document, to be changed."""
    value = document[name]
    return value if isinstance(value, dict) else {}


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
