"""Strict JSON (RFC 8259, I-JSON of RFC 7493): what two parsers could read differently is refused.

Knows: bytes → Python values. Must not know: who sent them or what they mean. Its errors never quote
the input.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import accumulate
from math import isfinite

MAX_DEPTH = 64
_STEP = {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}
_OPENING = (b"{", b"[")
_PIECE_BYTES = 256 * 1024
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_NO_BRACKETS = bytes(set(range(256)) - _STEP.keys())


class StrictJsonError(ValueError):
    """The bytes are not strict JSON. The message names the defect and never the content."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many a document may have at most, in all: `values` of any kind, `members` of objects, `containers`
    (objects and arrays), `strings` (keys, too). Text is not counted, however long it is and whatever it
    spells.
    """

    values: int
    members: int
    containers: int
    strings: int


OF_A_CALL = Bounds(values=524_288, members=65_536, containers=65_536, strings=163_840)
"""OpenAI takes 300,000 tokens in one request for embeddings, and 2,048 inputs; a chat could have 32,768
messages here. Of strings, each is a text that is looked at by itself: as many as keys and their values, and
32,768 in arrays.
"""


def parse(raw: bytes, *, max_depth: int = MAX_DEPTH, bounds: Bounds | None = OF_A_CALL) -> object:
    """Parses `raw` or raises StrictJsonError: invalid UTF-8, a byte order mark, duplicate keys, NaN or
    Infinity, numbers beyond a double, lone surrogates, nesting deeper than `max_depth`, and more values than
    `bounds` has, which is found out before any is made. `bounds` None: the operator's own file.

    >>> parse(b'{"a": [1, 2.5, null]}')
    {'a': [1, 2.5, None]}
    >>> parse(b'{"a": 1, "a": 2}')
    Traceback (most recent call last):
    broker.strictjson.StrictJsonError: an object has the same key twice
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise StrictJsonError("the body is not valid UTF-8") from None
    _refuse_vast(raw, max_depth, bounds)
    try:
        value = _DECODER.decode(text)
    except StrictJsonError:
        raise
    except json.JSONDecodeError as error:
        raise StrictJsonError(f"not JSON at line {error.lineno}, column {error.colno}") from None
    except (ValueError, RecursionError):
        raise StrictJsonError("the body holds a number or nesting beyond any sensible limit") from None
    if _SURROGATE.search(raw):
        _refuse_surrogates(value)
    return value


def _refuse_vast(raw: bytes, max_depth: int, bounds: Bounds | None) -> None:
    """Counts what is punctuation. Inside strings it only overcounts, so what passes the cheap test is within
    the bounds; of the rest, the strings are taken out first.
    """
    few = bounds is None or len(raw) <= min(bounds.containers, bounds.members, bounds.values)
    opened = _counted(raw, _OPENING, max_depth)
    if opened <= max_depth and (few or not _is_beyond(raw, bounds)):  # type: ignore[arg-type]  # few where None
        return
    outside = _without_strings(raw, bounds)
    if bounds is not None and (beyond := _is_beyond(outside, bounds)):
        raise StrictJsonError(f"the body holds more than {beyond}")
    depths = accumulate(map(_STEP.__getitem__, outside.translate(None, _NO_BRACKETS)))
    if max(depths, default=0) > max_depth:
        raise StrictJsonError(f"nested deeper than {max_depth} levels")


def _is_beyond(raw: bytes, bounds: Bounds) -> str:
    """Which bound is passed, in words, or an empty string. Each value but the first follows a comma or the
    bracket that it is the first in.
    """
    opened = _counted(raw, _OPENING, bounds.containers)
    if opened > bounds.containers:
        return f"{bounds.containers} objects and arrays"
    if _counted(raw, (b":",), bounds.members) > bounds.members:
        return f"{bounds.members} members of objects"
    if _counted(raw, (b'"',), 2 * bounds.strings) > 2 * bounds.strings:
        return f"{bounds.strings} strings"
    return (
        f"{bounds.values} values" if opened + _counted(raw, (b",",), bounds.values) >= bounds.values else ""
    )


def _counted(raw: bytes, marks: tuple[bytes, ...], most: int) -> int:
    """How many of the marks there are; where there are more than `most`, some number beyond it. Eight million
    would take 40 ms to count, in which nobody else has the interpreter.
    """
    total = 0
    for start in range(0, len(raw), _PIECE_BYTES):
        total += sum(raw.count(mark, start, start + _PIECE_BYTES) for mark in marks)
        if total > most:
            break
    return total


def _without_strings(raw: bytes, bounds: Bounds | None) -> bytes:
    """What stands outside of strings. Where `raw` is no JSON, this is right up to its first mistake, behind
    which the parser reads nothing.
    """
    plain = raw.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in raw else raw
    if bounds is not None and _counted(plain, (b'"',), 2 * bounds.strings) > 2 * bounds.strings:
        raise StrictJsonError(f"the body holds more than {bounds.strings} strings")
    return b" ".join(plain.split(b'"')[::2])


def _refuse_surrogates(value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise StrictJsonError("a string holds half of a surrogate pair") from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise StrictJsonError("an object has the same key twice")
    return value


def _constant(_name: str) -> object:
    raise StrictJsonError("NaN and Infinity are not JSON numbers")


def _float(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise StrictJsonError("a number is too large for a double")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)
