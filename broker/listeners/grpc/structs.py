"""`google.protobuf.Struct` and JSON text ↔ JSON values: what no typed field names.

Knows: which values a Struct keeps exactly. Must not know: any operation or field name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from math import isfinite

from google.protobuf.struct_pb2 import NullValue, Struct, Value

from broker import strictjson
from broker.listeners.grpc.shapes import MAX_EXACT, DocumentError

# A JSON object inside a Struct takes three protobuf levels, and parsers stop at 100 by default.
_MAX_DEPTH = 24
_MOST_NULLS = 256
"""Characters in the names of members that are kept for the next message."""


def read_struct(struct: Struct) -> dict[str, object]:
    """The JSON object a Struct stands for; integral numbers come back as integers.

    Raises DocumentError for NaN, infinity and a value of no kind, which JSON does not have.
    """
    return {name: read_value(value) for name, value in struct.fields.items()}


def read_value(value: Value) -> object:
    """One member of a Struct. Its depth is bounded: the parser refused anything deeper."""
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "number_value":
        return _number(value.number_value)
    if kind == "bool_value":
        return value.bool_value
    if kind == "struct_value":
        return read_struct(value.struct_value)
    if kind == "list_value":
        return [read_value(item) for item in value.list_value.values]
    if kind == "null_value":
        return None
    raise DocumentError("a Struct holds a value of no kind")


def _number(number: float) -> int | float:
    if not isfinite(number):
        raise DocumentError("NaN and Infinity are not JSON numbers")
    return int(number) if number.is_integer() and abs(number) <= MAX_EXACT else number


def read_text(text: str) -> object:
    """The value a member of `extra_json` spells. Raises DocumentError unless it is strict JSON."""
    try:
        return strictjson.parse(text.encode())
    except strictjson.StrictJsonError as error:
        raise DocumentError(str(error)) from None


def write_text(value: object) -> str:
    """A value as JSON text, integers of any size kept."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def is_exact(value: object, depth: int = 0) -> bool:
    """Whether a Struct keeps `value` as it is.

    >>> is_exact({"a": [1, None]}), is_exact(2**60)
    (True, False)
    """
    if isinstance(value, int):
        return -MAX_EXACT <= value <= MAX_EXACT
    if depth > _MAX_DEPTH:
        return False
    if isinstance(value, dict):
        return all(map(is_exact, value.values(), [depth + 1] * len(value)))
    if isinstance(value, list):
        return all(map(is_exact, value, [depth + 1] * len(value)))
    return True


def is_nulls(rest: Mapping[str, object]) -> bool:
    """Whether all members are null, and few enough for `nulls` to keep.

    >>> is_nulls({"usage": None, "error": None}), is_nulls({"n": 0}), is_nulls({"x" * 300: None})
    (True, False, False)
    """
    return list(rest.values()).count(None) == len(rest) and sum(map(len, rest)) <= _MOST_NULLS


@lru_cache(maxsize=256)
def nulls(*names: str) -> Struct:
    """A Struct of these names, each with null. It is shared: who changes it takes a copy."""
    return Struct(fields={name: Value(null_value=NullValue.NULL_VALUE) for name in names})


def split_exact(rest: Mapping[str, object]) -> tuple[dict[str, object], dict[str, str]]:
    """What goes into `extra` and, as text, into `extra_json`."""
    extra: dict[str, object] = {}
    texts: dict[str, str] = {}
    for name, value in rest.items():
        if is_exact(value):
            extra[name] = value
        else:
            texts[name] = write_text(value)
    return extra, texts
