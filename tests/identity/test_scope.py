"""The scope grammar."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import BrokerError
from broker.identity.scope import MAX_SCOPE_CHARACTERS, MAX_STARS, covers, parse_scope
from broker.model.wildcard import matches


@pytest.mark.parametrize(
    "bad", ["chats", "chat:", "chat:gpt 4", "chat:gpt\n4o x", "CHAT", "*", "chat:" + "a" * 129]
)
def test_malformed_scope_is_refused(bad: str) -> None:
    with pytest.raises(BrokerError) as refused:
        parse_scope(bad)
    assert refused.value.param == "scope"


def test_wildcard_is_the_only_special_character() -> None:
    assert matches("gpt-4o*", "gpt-4o-mini")
    assert not matches("gpt-4o", "gpt-4o-mini")
    assert not matches("gpt.4o", "gptx4o")
    assert matches("*-mini", "gpt-4o-mini")
    assert not covers(("chat:*",), "embeddings", "x")
    assert covers(("models",), "models", None)


@given(st.text("abc*", max_size=8), st.text("abc", max_size=8))
def test_matching_agrees_with_the_definition(pattern: str, model: str) -> None:
    def fits(p: str, m: str) -> bool:
        if not p:
            return not m
        if p[0] == "*":
            return any(fits(p[1:], m[i:]) for i in range(len(m) + 1))
        return bool(m) and p[0] == m[0] and fits(p[1:], m[1:])

    assert matches(pattern, model) == fits(pattern, model)


@pytest.mark.parametrize("stars", [1, 3, 8, 20, 40, 60])
def test_a_pattern_of_168_bytes_does_not_hang_the_broker(stars: int) -> None:
    """Issue 12, A.1: `edits:a*a*a*…b` against `aaa…c` took longer than anybody waits."""
    begun = time.thread_time()
    assert not matches("a*" * stars + "b", "a" * 255 + "c")
    assert matches("a*" * stars + "c", "a" * 255 + "c")
    assert time.thread_time() - begun < 0.005


@given(st.text("ab*", max_size=128), st.text("ab", max_size=256))
def test_no_pattern_is_slow(pattern: str, model: str) -> None:
    begun = time.thread_time()
    matches(pattern, model)
    assert time.thread_time() - begun < 0.005


@pytest.mark.parametrize(
    "scope",
    ["edits:" + "a*" * (MAX_STARS + 1), "chat:" + "*" * 128, "chat:" + "a " * (MAX_SCOPE_CHARACTERS // 2)],
)
def test_a_scope_with_many_stars_or_too_long_is_refused(scope: str) -> None:
    with pytest.raises(BrokerError) as refused:
        parse_scope(scope)
    assert refused.value.param == "scope"


def test_a_scope_of_a_few_stars_is_legal() -> None:
    asked = " ".join(f"chat:*-{number}-*-mini*" for number in range(64))
    assert len(parse_scope(asked)) == 64
