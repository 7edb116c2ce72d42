"""The words an answer is made of, and how many tokens a request has.

Knows: text and vocabularies. Must not know: the shape of any reply. Equal arguments, equal answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import cycle, islice

from broker.catalog.vocabulary import encoding
from broker.simulator.overrides import Override, Overrides

ECHOED = 60
_FILLER_WORDS = 6
_VOCABULARY = (
    "amber",
    "birch",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "harbor",
    "island",
    "kelp",
    "lagoon",
    "moss",
)
_EXACT_LIMIT = 200_000
_OLD_VOCABULARY = re.compile(r"gpt-3\.5|gpt-4(?![o.])|text-embedding|davinci|babbage")


@dataclass(frozen=True, slots=True)
class Composed:
    """`words` joined are the text; each is one stream event. `finish` is chat's finish_reason."""

    words: tuple[str, ...]
    finish: str

    @property
    def text(self) -> str:
        return "".join(self.words)

    @property
    def tokens(self) -> int:
        """At least one a word, and no fewer than a word of many bytes could have."""
        return sum(1 + len(word) // ECHOED for word in self.words)


def compose(
    echo: str, seed: str, overrides: Overrides, *, limit: int | None = None, stop: Iterable[str] = ()
) -> Composed:
    """`Echo: ` and the first ECHOED characters of `echo`, then filler drawn by `seed`, at most `limit` words.

    >>> compose("hello", "seed", Overrides({Override.WORDS: 3})).text.split()[:2]
    ['Echo:', 'hello']
    """
    huge = overrides.get(Override.HUGE)
    if huge is not None:
        return Composed(("x" * huge,), "stop")
    words = _pieces(f"Echo: {echo[:ECHOED]}")
    wanted = overrides.get(Override.WORDS)
    if wanted is None:
        wanted = len(words) + _FILLER_WORDS
    words = (*words[:wanted], *_filler(seed, wanted - len(words)))
    return _limited(_stopped(words, tuple(stop)), limit)


def compose_json(echo: str, limit: int | None) -> Composed:
    """A JSON object as `response_format` demands."""
    return _limited(_pieces('{"echo": "' + re.sub(r'[\\"\x00-\x1f]', " ", echo[:ECHOED]) + '"}'), limit)


def _pieces(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\s*\S+|\s+\Z", text))


def _filler(seed: str, count: int) -> Iterable[str]:
    choices = cycle(sha256(seed.encode("utf-8", "replace")).digest())
    return (" " + _VOCABULARY[choice % len(_VOCABULARY)] for choice in islice(choices, max(count, 0)))


def _stopped(words: tuple[str, ...], stop: tuple[str, ...]) -> tuple[str, ...]:
    text = "".join(words)
    ends = [place for place in (text.find(mark) for mark in stop if mark) if place >= 0]
    return _pieces(text[: min(ends)]) if ends else words


def _limited(words: tuple[str, ...], limit: int | None) -> Composed:
    if limit is not None and len(words) > limit:
        return Composed(words[:limit], "length")
    return Composed(words, "stop")


def count_tokens(text: str, model: str) -> int:
    """Tokens of `text` in the vocabulary of `model`; a quarter of the bytes beyond 200,000 characters."""
    if not text:
        return 0
    if len(text) > _EXACT_LIMIT:
        return len(text.encode("utf-8", "replace")) // 4
    name = "cl100k_base" if _OLD_VOCABULARY.match(model) else "o200k_base"
    return encoding(name).count(text)


def content_text(content: object) -> str:
    """The text of a message's content: a string, or the text parts of an array."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "".join(
        part["text"] for part in content if isinstance(part, Mapping) and isinstance(part.get("text"), str)
    )
