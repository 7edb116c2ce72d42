"""The scope grammar."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import BrokerError
from broker.identity.scope import covers, matches, parse_scope


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
