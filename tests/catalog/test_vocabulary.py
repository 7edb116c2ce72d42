"""The vocabularies' native part gives what the wheel's own Python part gives."""

from __future__ import annotations

import warnings
from functools import cache
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.catalog.vocabulary import encoding

NAMES = ("o200k_base", "cl100k_base")
TEXTS = st.text(st.characters(exclude_categories=[]), max_size=200) | st.sampled_from(
    ["<|endoftext|>", "a\ud800b", "\udfff", "é漢字 <|endofprompt|>", "x" * 60_000, ""]
)


@cache
def theirs(name: str) -> Any:
    """The wheel's own vocabulary; to import it loads all there are."""
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        package = import_module("bpe_openai")  # opens its data with importlib.resources.open_binary
    return package.get_encoding(name)


@pytest.mark.parametrize("name", NAMES)
@given(text=TEXTS)
def test_a_text_has_the_same_tokens(name: str, text: str) -> None:
    expected = theirs(name).encode_ordinary(text)
    assert encoding(name).encode(text) == expected
    assert encoding(name).count(text) == len(expected)


@pytest.mark.parametrize("name", NAMES)
@given(tokens=st.lists(st.integers(0, 100_255) | st.sampled_from([100_257, 199_999, 200_018, 133])))
def test_tokens_have_the_same_text(name: str, tokens: list[int]) -> None:
    try:
        expected = theirs(name).decode(tokens)
    except KeyError:
        with pytest.raises(KeyError):
            encoding(name).decode(tokens)
    else:
        assert encoding(name).decode(tokens) == expected


@pytest.mark.parametrize("name", NAMES)
def test_every_token_stands_for_the_same_bytes(name: str) -> None:
    pieces = theirs(name).token_byte_values()
    assert encoding(name).pieces == {rank: piece for rank, piece in enumerate(pieces) if piece}


@pytest.mark.parametrize("token", [-1, 10**9, 2**70])
def test_no_other_number_is_a_token(token: int) -> None:
    with pytest.raises(KeyError):
        encoding("o200k_base").decode([token])
