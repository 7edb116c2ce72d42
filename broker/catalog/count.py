"""Token counts, with the vocabularies inside the bpe-openai wheel. Linear in the text.

Knows: how a request's texts become tokens. 1 KB takes about 20 µs: the caller runs large texts in a thread
(`encode_ordinary` is safe for concurrent use).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Protocol, cast

from broker.catalog.models import UNKNOWN, Model

with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
    import bpe_openai  # opens its vocabulary with importlib.resources.open_binary

_COUNTED = (
    "messages", "prompt", "input", "instructions", "instruction", "suffix", "tools", "functions", "text",
    "response_format",
)  # fmt: skip
_MEDIA = frozenset({"image_url", "input_audio", "file", "file_data", "image_data", "data"})
MEDIA_TOKENS = 1_500  # a high-detail image of usual size (OpenAI's vision guide): media is not text
PER_MESSAGE = 4
REPLY_PRIMING = 3
_SLICE = (
    50_000  # characters: bpe-openai refuses more than 200,000 tokens at once, and a character has at most 4
)


class Encoding(Protocol):
    def encode_ordinary(self, text: str) -> list[int]: ...

    def decode(self, tokens: Sequence[int]) -> str: ...


@lru_cache(maxsize=8)
def encoding(name: str) -> Encoding:
    """The vocabulary of this name, loaded once."""
    return cast(Encoding, bpe_openai.get_encoding(name))


def load_vocabularies() -> None:
    """Loads what today's models use, half a second once: call it before the first call waits for it."""
    for name in ("o200k_base", "cl100k_base"):
        encoding(name).encode_ordinary("a")


def count_input(document: dict[str, object] | None, model: Model | None) -> int:
    """The tokens of everything in the request that a model reads. Media counts as MEDIA_TOKENS each."""
    if document is None:
        return 0
    texts: list[str] = []
    extra = 0
    for name in _COUNTED:
        if name in document:
            for piece in _pieces(document[name]):
                if isinstance(piece, str):
                    texts.append(piece)
                else:
                    extra += piece
    messages = document.get("messages")
    if isinstance(messages, list):
        extra += PER_MESSAGE * len(messages) + REPLY_PRIMING
    vocabulary = encoding((model or UNKNOWN).encoding)
    text = "\n".join(texts)
    slices = (text[start : start + _SLICE] for start in range(0, len(text), _SLICE))
    return extra + sum(len(vocabulary.encode_ordinary(part)) for part in slices)


def count_text(text: str, model: Model | None) -> int:
    """The tokens of one text, or more: a text too long to be counted at once has no more than its bytes."""
    if len(text) > _SLICE:
        return len(text.encode("utf-8", "replace"))
    return len(encoding((model or UNKNOWN).encoding).encode_ordinary(text))


def decode_tokens(model: Model | None, tokens: Sequence[int]) -> str | None:
    """The text of a token array, None where a token is not of this model's vocabulary."""
    try:
        return encoding((model or UNKNOWN).encoding).decode(tokens)
    except (ValueError, KeyError, IndexError, OverflowError):
        return None


def encode_tokens(model: Model | None, text: str) -> list[int]:
    """The token array of a text, in this model's vocabulary."""
    vocabulary = encoding((model or UNKNOWN).encoding)
    slices = (text[start : start + _SLICE] for start in range(0, len(text), _SLICE))
    return [token for part in slices for token in vocabulary.encode_ordinary(part)]


def _pieces(value: object) -> Iterator[str | int]:
    """Texts, and numbers of tokens where something is not text."""
    stack: list[object] = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, list):
            if item and all(isinstance(token, int) for token in item):
                yield len(item)
            else:
                stack.extend(item)
        elif isinstance(item, dict):
            for key, child in item.items():
                if key in _MEDIA:
                    yield MEDIA_TOKENS
                else:
                    stack.append(child)
