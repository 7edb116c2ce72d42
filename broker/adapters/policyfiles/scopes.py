"""Which names are local in a rule, and from where to where: arguments, and what its bodies declare.

Knows: the text of one rule. Must not know: other rules, engines. A name that is local is no rule, whatever
rules there are of the same name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

NAME = re.compile(r"(?<![\w.\"`])[A-Za-z_]\w*")
KEYWORDS = frozenset(
    {"as", "contains", "default", "else", "every", "false", "if", "in", "not", "null", "some", "true", "with"}
)
_DECLARED_BY_SOME = re.compile(r"\bsome\b([^\n;{]*?(?:[\[{][^\n;]*?[\]}])?[^\n;{]*?)(?=\bin\b|[\n;}\])]|\Z)")
_EVERY = re.compile(r"\bevery\b(.*?)\bin\b\s*", re.DOTALL)
_ASSIGNED = re.compile(r"\s*:=")
_BEFORE_BODY = re.compile(r"\b(?:if|else)\s*\Z")
_NOWHERE = -1


@dataclass(frozen=True, slots=True)
class Local:
    """A name that is local from `start` to `end` of the code."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Brackets:
    """Of each place the opening bracket of the innermost pair around it, or -1; of each of these the closing
    one.
    """

    around: tuple[int, ...]
    closing: dict[int, int]

    @classmethod
    def of(cls, code: str) -> Brackets:
        around, closing, opened = [], {}, [_NOWHERE]
        for place, character in enumerate(code):
            if character in ")]}" and len(opened) > 1:
                closing[opened.pop()] = place
            around.append(opened[-1])
            if character in "([{":
                opened.append(place)
        return cls(tuple(around), closing | dict.fromkeys(opened[1:], len(code)))


def locals_of(code: str, head_end: int, arguments: tuple[int, int] | None) -> tuple[Local, ...]:
    """The local names of a rule whose head, before what it is assigned, ends at `head_end`.

    >>> code = "f(x) := y if { y := [z | z := x] }"
    >>> [(each.name, code[each.start : each.end]) for each in locals_of(code, 4, (1, 4))][2]
    ('z', '[z | z := x]')
    """
    return tuple(_locals(code, head_end, arguments, Brackets.of(code)))


def _locals(
    code: str, head_end: int, arguments: tuple[int, int] | None, brackets: Brackets
) -> Iterator[Local]:
    if arguments is not None:
        yield from (Local(name, 0, len(code)) for name in _names(code, *arguments))
    for found in _DECLARED_BY_SOME.finditer(code, head_end):
        place = _scope(code, found.start(), brackets)
        yield from (Local(name, *place) for name in _names(code, *found.span(1)))
    for found in _EVERY.finditer(code, head_end):
        for place in (found.span(1), _body_of_every(code, found.end(), brackets)):
            yield from (Local(name, *place) for name in _names(code, *found.span(1)))
    headless = _ASSIGNED.match(code, head_end)
    for found in _ASSIGNED.finditer(code, headless.end() if headless else head_end):
        place = _scope(code, found.end() - 1, brackets)
        yield from (Local(name, *place) for name in _names(code, *_target(code, found.start(), brackets)))


def _target(code: str, end: int, brackets: Brackets) -> tuple[int, int]:
    """What stands before an assignment: a name, or a list or an object of names."""
    if code[end - 1] in "]}":
        start = next((place for place, closed in brackets.closing.items() if closed == end - 1), end)
        return start, end
    found = re.search(r"[\w.]+\Z", code[:end])
    return (found.start(), end) if found else (end, end)


def _scope(code: str, place: int, brackets: Brackets) -> tuple[int, int]:
    """From where to where a name that is declared there is local: in the comprehension or body around it; a
    body's with the head that it belongs to.
    """
    opened = brackets.around[place]
    if opened == _NOWHERE or (
        code[opened] == "{"
        and brackets.around[opened] == _NOWHERE
        and _BEFORE_BODY.search(code[:opened]) is not None
    ):
        return _clause(code, place, brackets)
    return opened, brackets.closing[opened] + 1


def _clause(code: str, place: int, brackets: Brackets) -> tuple[int, int]:
    """The head and the body, without what comes before or after an `else`."""
    turns = [
        each.start() for each in re.finditer(r"\belse\b", code) if brackets.around[each.start()] == _NOWHERE
    ]
    start = max((turn for turn in turns if turn <= place), default=0)
    return start, min((turn for turn in turns if turn > place), default=len(code))


def _body_of_every(code: str, domain: int, brackets: Brackets) -> tuple[int, int]:
    """The first braces after what is gone through, which may be in braces itself."""
    place = brackets.closing.get(domain, domain) + 1
    while place < len(code) and code[place] != "{":
        place = brackets.closing.get(place, place) + 1
    return place, brackets.closing.get(place, len(code)) + 1


def _names(code: str, start: int, end: int) -> Iterator[str]:
    for found in NAME.finditer(code, start, end):
        if found[0] not in KEYWORDS and found[0] != "_":
            yield found[0]
