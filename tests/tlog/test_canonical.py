"""Canonical JSON, compared with an independent implementation of RFC 8785."""

from __future__ import annotations

from enum import StrEnum

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from broker.tlog import canonical
from broker.tlog.malformed import MalformedError

LIMIT = canonical.MAX_SAFE_INTEGER
scalars = st.none() | st.booleans() | st.integers(-LIMIT, LIMIT) | st.text(st.characters(codec="utf-8"))
keys = st.text(st.characters(max_codepoint=0x7F))
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=6),
    max_leaves=12,
)


def _depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max((_depth(item) for item in inner), default=0)


shallow = values.filter(lambda value: _depth(value) <= canonical.MAX_DEPTH)


@given(shallow)
def test_bytes_are_those_of_an_independent_implementation(value: object) -> None:
    assert canonical.encode(value) == rfc8785.dumps(value)  # type: ignore[arg-type]


@given(shallow)
def test_parse_then_format_gives_the_same_bytes(value: object) -> None:
    data = canonical.encode(value)
    assert canonical.decode(data) == value
    assert canonical.encode(canonical.decode(data)) == data


class Colour(StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        float("nan"),
        LIMIT + 1,
        -LIMIT - 1,
        "\ud800",
        {"é": 1},
        {1: 1},
        (1,),
        b"x",
        Colour.RED,
        [[[[[[[[[1]]]]]]]]],
    ],
    ids=str,
)
def test_a_value_without_one_byte_form_is_refused(value: object) -> None:
    with pytest.raises(MalformedError):
        canonical.encode(value)


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1,"a":1}',
        b'{"a":1,"a":2}',
        b'{"b":1,"a":2}',
        b'{"a": 1}',
        b'{"a":1}\n',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":1.0}',
        b'{"a":1e2}',
        b'{"a":-0}',
        b'{"a":9007199254740992}',
        b'{"a":123456789012345678901234567890}',
        b'{"a":"\\u0041"}',
        b'{"a":"\\/"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\xff"}',
        b'{"a":NaN}',
        b"[" * 100_000,
        b"[" * 500 + b"]" * 500,
        b"",
    ],
    ids=lambda data: repr(data[:24]),
)
def test_a_second_spelling_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        canonical.decode(data)
