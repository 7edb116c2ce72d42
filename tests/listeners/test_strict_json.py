"""What strict JSON counts before it makes anything of it."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker import strictjson
from broker.strictjson import OF_A_CALL, Bounds, StrictJsonError

SMALL = Bounds(values=12, members=4, containers=6, strings=7)
DOCUMENTS = st.recursive(
    st.none() | st.integers() | st.text(',:[]{}"\\ a\n', max_size=20),
    lambda inner: (
        st.lists(inner, max_size=6) | st.dictionaries(st.text(',:[{"\\', max_size=4), inner, max_size=4)
    ),
    max_leaves=20,
)


def counted(value: object) -> tuple[int, int, int, int, int]:
    """Values, members, containers, depth and strings, by the definition."""
    if not isinstance(value, dict | list):
        return 1, 0, 0, 0, isinstance(value, str)
    inner = [counted(child) for child in (value.values() if isinstance(value, dict) else value)]
    members = len(value) if isinstance(value, dict) else 0
    return (
        1 + sum(one[0] for one in inner),
        members + sum(one[1] for one in inner),
        1 + sum(one[2] for one in inner),
        1 + max((one[3] for one in inner), default=0),
        members + sum(one[4] for one in inner),
    )


@given(DOCUMENTS, st.booleans())
def test_bounds_count_what_is_there_and_never_what_a_string_spells(value: object, escaped: bool) -> None:
    raw = json.dumps(value, ensure_ascii=escaped).encode()
    values, members, containers, depth, strings = counted(value)
    within = (
        values <= SMALL.values
        and members <= SMALL.members
        and containers <= SMALL.containers
        and strings <= SMALL.strings
        and depth <= 3
    )
    try:
        assert strictjson.parse(raw, max_depth=3, bounds=SMALL) == value
    except StrictJsonError:
        # an empty array and its comma are one value, but are counted as two
        empty = raw.count(b"[]") + raw.count(b"{}")
        assert not within or values + empty >= SMALL.values
    else:
        assert within


@pytest.mark.parametrize(
    "vast",
    [
        b'{"model":"m","input":[' + b"1," * 2_000_000 + b"1]}",
        b'{"model":"m",' + b",".join(b'"k%d":1' % number for number in range(200_000)) + b"}",
        b'{"messages":[' + b'{"role":"user","content":"a"},' * 100_000 + b"{}]}",
        b"[" + b"[]," * 5_000_000 + b"1]",
        b'["a\\"' + b'","' * 5_000_000 + b'"]',
    ],
    ids=["2,000,000 integers", "200,000 keys", "100,000 messages", "5,000,000 arrays", "5,000,000 strings"],
)
def test_a_vast_body_is_refused_before_it_is_parsed(vast: bytes) -> None:
    """Issue 12, A.2: these cost 1 to 2.3 CPU-seconds each, and 5,000,000 arrays more than 8."""
    spent = []
    for _ in range(3):
        begun = time.thread_time()
        with pytest.raises(StrictJsonError, match="holds more than"):
            strictjson.parse(vast)
        spent.append(time.thread_time() - begun)
    assert min(spent) < 0.4


@pytest.mark.parametrize(
    "legal",
    [
        {"model": "m", "input": [[7] * 146 for _ in range(2_048)]},  # 300,000 tokens
        {"model": "m", "messages": [{"role": "user", "content": "a, b: {c}"}] * 20_000},
        {"model": "m", "messages": [{"role": "user", "content": 'a,1:[{"\\' * 1_500_000}]},
    ],
    ids=["300,000 tokens", "20,000 messages", "a long text full of punctuation"],
)
def test_what_openai_takes_is_within_the_bounds(legal: object) -> None:
    assert strictjson.parse(json.dumps(legal).encode()) == legal


def test_the_operators_own_files_are_not_counted() -> None:
    raw = b"[" + b"1," * OF_A_CALL.values + b"1]"
    assert isinstance(strictjson.parse(raw, bounds=None), list)
