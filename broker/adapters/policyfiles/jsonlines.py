"""Where in a JSON text each value stands: the line of every key and element, and keys that are there twice.

Knows: how JSON is written. Must not know: what it means. It is asked only once something is wrong, so it may
be slow; the text it is given has been parsed, or has a key twice.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

Place = tuple[str | int, ...]
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


@dataclass(slots=True)
class Lines:
    """`of` a place is the line of its key, or element; `twice` are the places that come a second time."""

    of: dict[Place, int] = field(default_factory=dict)
    twice: list[tuple[Place, int]] = field(default_factory=list)

    def at(self, place: Place) -> int | None:
        """The line of the place, or of what holds it; None where nothing of it is here."""
        for length in range(len(place), 0, -1):
            if place[:length] in self.of:
                return self.of[place[:length]]
        return None


@dataclass(slots=True)
class _Open:
    """An object or a list that has not ended: the key, or the number, of what stands in it now."""

    place: Place
    step: str | int | None
    is_object: bool


def lines_of(text: str) -> Lines:
    r"""All places of a text.

    >>> found = lines_of('{\n"a": [1,\n2], "a": 3}')
    >>> found.of[("a", 1)], found.twice
    (3, [(('a',), 3)])
    """
    found, line, last = Lines(), 1, 0
    stack: list[_Open] = []
    for token in _TOKEN.finditer(text):
        line += text.count("\n", last, token.start())
        last = token.start()
        _take(token[0], line, found, stack)
    return found


def _take(word: str, line: int, found: Lines, stack: list[_Open]) -> None:
    top = stack[-1] if stack else None
    if word in "}]":
        if stack:
            stack.pop()
    elif word == ",":
        if top is not None:
            top.step = None if top.is_object else int(top.step or 0) + 1
    elif word == ":":
        pass
    elif top is not None and top.is_object and top.step is None and word[0] == '"':
        top.step = str(json.loads(word, strict=False))
        _mark((*top.place, top.step), line, found)
    else:
        place = (*top.place, top.step) if top is not None and top.step is not None else ()
        if top is not None and not top.is_object:
            _mark(place, line, found)
        if word in "{[":
            stack.append(_Open(place, None if word == "{" else 0, word == "{"))


def _mark(place: Place, line: int, found: Lines) -> None:
    if place in found.of:
        found.twice.append((place, line))
    else:
        found.of[place] = line
