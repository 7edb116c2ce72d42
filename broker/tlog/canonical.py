"""Canonical JSON (RFC 8785, JCS) for the values that entries hold; one value, one byte string.

Knows None, booleans, integers within ±(2^53 - 1), strings, lists and objects. Refuses floats, so that the
number formatting of ECMAScript is never needed, and keys outside ASCII, so that byte order is UTF-16 order
(RFC 8785, section 3.2.3). Must not know what the values mean.
"""

from __future__ import annotations

import orjson

from broker.tlog.malformed import MalformedError

MAX_SAFE_INTEGER = 2**53 - 1
MAX_DEPTH = 8

_FREE = frozenset({str, bool, type(None)})
_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER


def encode(value: object) -> bytes:
    """The canonical bytes of `value`.

    Raises MalformedError for a type, integer, key, depth or lone surrogate outside the range above.

    >>> encode({"b": [1, None], "a": "é"}).decode()
    '{"a":"é","b":[1,null]}'
    """
    _check(value, MAX_DEPTH)
    return write(value)


def write(value: object) -> bytes:
    """As `encode`, for a value of which the types and keys are known to be right. Raises MalformedError for a
    lone surrogate and for an integer that ECMAScript would read as another one (RFC 8785, section 3.2.2.3).
    """
    try:
        return orjson.dumps(value, option=_OPTIONS)
    except orjson.JSONEncodeError as error:
        raise MalformedError("a string holds a lone surrogate, or an integer is beyond 2^53 - 1") from error


def decode(data: bytes) -> object:
    """The value whose canonical bytes are `data`.

    Strict: duplicate keys, white space, another key order, floats and every second spelling of a value are
    refused, because the value must encode to the same bytes. Raises MalformedError.
    """
    value = look(data)
    if encode(value) != data:
        raise MalformedError("not canonical: a duplicate key, white space, key order or a second spelling")
    return value


def look(data: bytes) -> object:
    """As `decode`, for bytes that were checked before. Raises MalformedError for what is no JSON."""
    try:
        value: object = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise MalformedError("not JSON") from error
    return value


def _check(value: object, depth: int) -> None:
    kind = type(value)
    if kind in _FREE:
        return
    if depth == 0:
        raise MalformedError(f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, int) and kind is int:
        if not -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
            raise MalformedError("an integer beyond 2^53 - 1")
    elif isinstance(value, dict) and kind is dict:
        _check_object(value, depth)
    elif isinstance(value, list) and kind is list:
        for item in value:
            _check(item, depth - 1)
    else:
        raise MalformedError(f"a value of type {kind.__name__}")


def _check_object(value: dict[object, object], depth: int) -> None:
    for key, item in value.items():
        if type(key) is not str or not key.isascii():
            raise MalformedError("a key that is not an ASCII string")
        if type(item) not in _FREE:
            _check(item, depth - 1)
