"""Strict JSON (RFC 8259, I-JSON of RFC 7493): what two parsers could read differently is refused.

Knows: bytes → Python values. Must not know: who sent them or what they mean. Its errors never quote
the input.
"""

from __future__ import annotations

import json
from math import isfinite

MAX_DEPTH = 64


class StrictJsonError(ValueError):
    """The bytes are not strict JSON. The message names the defect and never the content."""


def parse(raw: bytes, *, max_depth: int = MAX_DEPTH) -> object:
    """Parses `raw` or raises StrictJsonError: invalid UTF-8, a byte order mark, duplicate keys, NaN or
    Infinity, numbers beyond a double, lone surrogates, and nesting deeper than `max_depth`.

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
    # Brackets inside strings only overcount, so the cheap test never lets a deep document through.
    if raw.count(b"{") + raw.count(b"[") > max_depth:
        _refuse_deep(text, max_depth)
    try:
        value = _DECODER.decode(text)
    except StrictJsonError:
        raise
    except json.JSONDecodeError as error:
        raise StrictJsonError(f"not JSON at line {error.lineno}, column {error.colno}") from None
    except (ValueError, RecursionError):
        raise StrictJsonError("the body holds a number or nesting beyond any sensible limit") from None
    if b"\\u" in raw:
        _refuse_surrogates(value)
    return value


def _refuse_deep(text: str, max_depth: int) -> None:
    depth = 0
    in_string = escaped = False
    for char in text:
        if in_string:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                in_string = False
        elif char == '"':
            in_string = True
        elif char in "{[":
            depth += 1
            if depth > max_depth:
                raise StrictJsonError(f"nested deeper than {max_depth} levels")
        elif char in "}]":
            depth -= 1


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
