"""A string that is itself JSON (a tool call's arguments), with parts of it covered, and still JSON.

Knows: where the strings and numbers of a JSON text stand (RFC 8259). Must not know: rules, what was found.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import orjson

_TOKEN = re.compile(
    r'"(?P<inner>(?:[^"\\]|\\.)*+)"(?P<key>\s*+:)?|-?[0-9]++(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?', re.DOTALL
)
_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|.)", re.DOTALL)
_DEPTH = 4  # JSON within JSON within JSON: each layer doubles the escapes of the one before


@dataclass(frozen=True, slots=True)
class Mark:
    """`text` is to stand in place of the characters `start` to `end`."""

    start: int
    end: int
    text: str


def covered_json(value: str, marks: Sequence[Mark], depth: int = _DEPTH) -> str | None:
    """`value` with every mark (sorted by start) in the strings that it reaches into, and 0 for the numbers;
    all else as it is. None where `value` is no JSON object or array.

    >>> covered_json('{"card": 4111111111111111}', [Mark(9, 25, "[REDACTED]")])
    '{"card": 0}'
    >>> covered_json('["\\\\nann@x.org, hi"]', [Mark(3, 13, "[REDACTED]")])
    '["\\\\n[REDACTED], hi"]'
    """
    if not depth or not _is_json(value):
        return None
    pieces: list[str] = []
    done, first, renamed = 0, 0, 0
    for token in _TOKEN.finditer(value):
        while first < len(marks) and marks[first].end <= token.start():
            first += 1
        if first == len(marks):
            break
        if marks[first].start >= token.end():
            continue
        pieces.append(value[done : token.start()])
        done = token.end()
        touching = []
        for mark in islice(marks, first, None):
            if mark.start >= token.end():
                break
            touching.append(mark)
        if token["inner"] is None:
            pieces.append("0")
            continue
        inner = _string(token["inner"], token.start("inner"), touching, depth)
        if token["key"] and inner != token["inner"]:
            renamed += 1
            inner += f"#{renamed}" if renamed > 1 else ""
        pieces.append(f'"{inner}"{token["key"] or ""}')
    return "".join([*pieces, value[done:]])


def _is_json(value: str) -> bool:
    if value.lstrip()[:1] not in ("{", "["):
        return False
    try:
        orjson.loads(value)
    except orjson.JSONDecodeError:
        return False
    return True


def _string(inner: str, start: int, marks: Sequence[Mark], depth: int) -> str:
    """The inside of a string token, from `start` of the whole text, with its parts of `marks` in it."""
    escapes = [found.span() for found in _ESCAPE.finditer(inner)]
    clipped = [_clipped(mark, inner, start, escapes) for mark in marks]
    nested = _nested(inner, escapes, clipped, depth)
    if nested is not None:
        return nested
    pieces: list[str] = []
    done = 0
    for mark in clipped:
        if mark.start < mark.end and mark.start >= done:
            pieces += [inner[done : mark.start], mark.text]
            done = mark.end
        done = max(done, mark.end)
    return "".join([*pieces, inner[done:]])


def _clipped(mark: Mark, inner: str, start: int, escapes: Sequence[tuple[int, int]]) -> Mark:
    """The mark's part within the string. One that begins within an escape begins behind it: what looked like
    a letter was none; one that ends within an escape takes it whole.
    """
    first, last = max(mark.start - start, 0), min(mark.end - start, len(inner))
    first, last = _behind_escape(first, escapes), _behind_escape(last, escapes)
    return Mark(first, max(first, last), mark.text)


def _behind_escape(place: int, escapes: Sequence[tuple[int, int]]) -> int:
    """The place itself, or the end of the escape that it is within."""
    before = bisect_left(escapes, (place, 0)) - 1
    return max(place, escapes[before][1]) if before >= 0 else place


def _nested(inner: str, escapes: Sequence[tuple[int, int]], marks: Sequence[Mark], depth: int) -> str | None:
    """The string with `marks` where it is JSON again, once its escapes are resolved."""
    if inner.lstrip()[:1] not in ("{", "["):
        return None
    decoded: str = json.loads(f'"{inner}"', strict=False)
    places, shifts, shift = [0], [0], 0  # a pair of surrogates is one character, its escapes are two
    for begin, end in escapes:
        size = 0 if inner[begin + 1] == "u" and "dc00" <= inner[begin + 2 : end].lower() <= "dfff" else 1
        shift += end - begin - size
        places.append(end)
        shifts.append(shift)

    def moved(place: int) -> int:
        return place - shifts[bisect_right(places, place) - 1]

    covered = covered_json(decoded, [Mark(moved(m.start), moved(m.end), m.text) for m in marks], depth - 1)
    return None if covered is None else json.dumps(covered, ensure_ascii=inner.isascii())[1:-1]
