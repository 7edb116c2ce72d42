"""What OpenAI charges for a token of each model: data, with the day it was read as its version.

Knows: prices. Must not know: calls, budgets, what a model can do. Source: OpenAI's pricing page and model
pages (developers.openai.com/api/docs/pricing, openai.com/api-fast-mode), as published until November 2026;
models that left the page keep the last price it had. An unknown model costs what the dearest of its family
does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import lru_cache

PRICE_VERSION = "2026-11-28"
LONG_TOKENS = 272_000
"""From this input on the whole call is dearer, where a model has a price for long inputs."""


@dataclass(frozen=True, slots=True, eq=False)
class Price:
    """US dollars per million tokens, which is the same number as micro-dollars per token.

    `write` times `input` is the price of input that is put into the cache; `fast` (`priority` is its older
    name), `ultrafast` and `flex` times everything that of the service tiers; `long` says that an input over
    LONG_TOKENS costs twice, its output 1.5 times; `regional` times everything is what a region costs.
    `hidden`: the model bills output that it does not show (it reasons). `call`: micro-dollars for each call.
    A price is equal to itself alone: it is looked up for every call.
    """

    input: float
    cached: float
    output: float
    hidden: bool = False
    fast: float = 2.5
    flex: float = 1.0
    ultrafast: float = 6.0
    write: float = 1.0
    long: bool = False
    regional: float = 1.0
    audio_in: float = 0.0
    audio_out: float = 0.0
    call: int = 0


def _reasoning(
    input: float,  # noqa: A002 - the price of input
    cached: float,
    output: float,
    *,
    fast: float = 2.0,
    flex: float = 0.5,
) -> Price:
    return Price(input, cached, output, hidden=True, fast=fast, flex=flex)


def _frontier(input: float, cached: float, output: float, *, fast: float = 2.0, write: float = 1.0) -> Price:  # noqa: A002
    """The models since gpt-5.4: long inputs, and 10 % more where a region is asked for."""
    return Price(
        input,
        cached,
        output,
        hidden=True,
        fast=fast,
        flex=0.5,
        write=write,
        long=True,
        regional=1.1,
    )


_WRITE = 1.25
FREE = Price(0, 0, 0)
TABLE: dict[str, Price] = {
    "gpt-6.1-sol": _frontier(2.0, 0.1, 10.0, write=_WRITE),
    "gpt-6.1-terra": _frontier(1.0, 0.05, 5.0, write=_WRITE),
    "gpt-6-astra": _frontier(10.0, 1.0, 50.0, write=_WRITE),
    "gpt-6-sol": _frontier(2.0, 0.2, 10.0, write=_WRITE),
    "gpt-6-luna": _frontier(0.1, 0.01, 0.5, write=_WRITE),
    "gpt-5.6": _frontier(4.0, 0.4, 20.0, fast=2.5, write=_WRITE),
    "gpt-5.6-sol": _frontier(4.0, 0.4, 20.0, fast=2.5, write=_WRITE),
    "gpt-5.6-terra": _frontier(2.0, 0.2, 12.0, write=_WRITE),
    "gpt-5.6-luna": _frontier(0.2, 0.02, 1.2, write=_WRITE),
    "gpt-5.5": _frontier(5.0, 0.5, 30.0, fast=2.5),
    "gpt-5.5-pro": _frontier(30.0, 30.0, 180.0),
    "gpt-5.4": _frontier(2.5, 0.25, 15.0),
    "gpt-5.4-mini": _frontier(0.75, 0.075, 4.5),
    "gpt-5.4-nano": _frontier(0.2, 0.02, 1.25),
    "gpt-5.4-pro": _frontier(30.0, 30.0, 180.0),
    "gpt-5.3-chat-latest": _reasoning(1.75, 0.175, 14.0),
    "gpt-5.3-codex": _reasoning(1.75, 0.175, 14.0),
    "gpt-5.2": _reasoning(1.75, 0.175, 14.0),
    "gpt-5.2-chat-latest": _reasoning(1.75, 0.175, 14.0),
    "gpt-5.2-codex": _reasoning(1.75, 0.175, 14.0),
    "gpt-5.2-pro": _reasoning(21.0, 21.0, 168.0),
    "gpt-5.1": _reasoning(1.25, 0.125, 10.0),
    "gpt-5.1-chat-latest": _reasoning(1.25, 0.125, 10.0),
    "gpt-5.1-codex": _reasoning(1.25, 0.125, 10.0),
    "gpt-5.1-codex-max": _reasoning(1.25, 0.125, 10.0),
    "gpt-5.1-codex-mini": _reasoning(0.25, 0.025, 2.0, fast=1.8),
    "gpt-5": _reasoning(1.25, 0.125, 10.0),
    "gpt-5-chat-latest": _reasoning(1.25, 0.125, 10.0),
    "gpt-5-codex": _reasoning(1.25, 0.125, 10.0),
    "gpt-5-mini": _reasoning(0.25, 0.025, 2.0, fast=1.8),
    "gpt-5-nano": _reasoning(0.05, 0.005, 0.4),
    "gpt-5-pro": _reasoning(15.0, 15.0, 120.0),
    "gpt-5-search-api": Price(1.25, 0.125, 10.0, hidden=True, call=10_000),
    "gpt-4.5-preview": Price(75.0, 37.5, 150.0),
    "gpt-4.1": Price(2.0, 0.5, 8.0, fast=1.75),
    "gpt-4.1-mini": Price(0.4, 0.1, 1.6, fast=1.75),
    "gpt-4.1-nano": Price(0.1, 0.025, 0.4, fast=2.0),
    "gpt-4o": Price(2.5, 1.25, 10.0, fast=1.7),
    "gpt-4o-2024-05-13": Price(5.0, 5.0, 15.0, fast=1.75),
    "chatgpt-4o-latest": Price(5.0, 5.0, 15.0),
    "gpt-4o-mini": Price(0.15, 0.075, 0.6, fast=5 / 3),
    "gpt-4o-search-preview": Price(2.5, 2.5, 10.0, call=25_000),
    "gpt-4o-mini-search-preview": Price(0.15, 0.15, 0.6, call=25_000),
    "gpt-4o-audio-preview": Price(2.5, 2.5, 10.0, audio_in=40.0, audio_out=80.0),
    "gpt-4o-mini-audio-preview": Price(0.15, 0.15, 0.6, audio_in=10.0, audio_out=20.0),
    "gpt-audio": Price(2.5, 2.5, 10.0, audio_in=32.0, audio_out=64.0),
    "gpt-audio-1.5": Price(2.5, 2.5, 10.0, audio_in=32.0, audio_out=64.0),
    "gpt-audio-mini": Price(0.6, 0.6, 2.4, audio_in=10.0, audio_out=20.0),
    "o4-mini": _reasoning(1.1, 0.275, 4.4, fast=20 / 11),
    "o4-mini-deep-research": _reasoning(2.0, 0.5, 8.0),
    "o3": _reasoning(2.0, 0.5, 8.0, fast=1.75),
    "o3-pro": _reasoning(20.0, 20.0, 80.0),
    "o3-mini": _reasoning(1.1, 0.55, 4.4),
    "o3-deep-research": _reasoning(10.0, 2.5, 40.0),
    "o1": _reasoning(15.0, 7.5, 60.0),
    "o1-mini": _reasoning(1.1, 0.55, 4.4),
    "o1-preview": _reasoning(15.0, 7.5, 60.0),
    "o1-pro": _reasoning(150.0, 150.0, 600.0),
    "codex-mini-latest": _reasoning(1.5, 0.375, 6.0),
    "computer-use-preview": _reasoning(3.0, 3.0, 12.0),
    "gpt-4-turbo": Price(10.0, 10.0, 30.0),
    "gpt-4-turbo-preview": Price(10.0, 10.0, 30.0),
    "gpt-4-0125-preview": Price(10.0, 10.0, 30.0),
    "gpt-4-1106-preview": Price(10.0, 10.0, 30.0),
    "gpt-4": Price(30.0, 30.0, 60.0),
    "gpt-4-32k": Price(60.0, 60.0, 120.0),
    "gpt-3.5-turbo": Price(0.5, 0.5, 1.5),
    "gpt-3.5-turbo-1106": Price(1.0, 1.0, 2.0),
    "gpt-3.5-turbo-0613": Price(1.5, 1.5, 2.0),
    "gpt-3.5-turbo-16k": Price(3.0, 3.0, 4.0),
    "gpt-3.5-turbo-instruct": Price(1.5, 1.5, 2.0),
    "davinci-002": Price(2.0, 2.0, 2.0),
    "babbage-002": Price(0.4, 0.4, 0.4),
    "text-davinci-003": Price(20.0, 20.0, 20.0),
    "code-davinci-002": Price(20.0, 20.0, 20.0),
    "text-davinci-edit-001": Price(20.0, 20.0, 20.0),
    "code-davinci-edit-001": Price(20.0, 20.0, 20.0),
    "text-embedding-3-small": Price(0.02, 0.02, 0.0),
    "text-embedding-3-large": Price(0.13, 0.13, 0.0),
    "text-embedding-ada-002": Price(0.1, 0.1, 0.0),
    "omni-moderation-latest": FREE,
    "text-moderation-latest": FREE,
    "ft:gpt-4.1": Price(3.0, 0.75, 12.0),
    "ft:gpt-4.1-mini": Price(0.8, 0.2, 3.2),
    "ft:gpt-4.1-nano": Price(0.2, 0.05, 0.8),
    "ft:gpt-4o": Price(3.75, 1.875, 15.0),
    "ft:gpt-4o-mini": Price(0.3, 0.15, 1.2),
    "ft:gpt-3.5-turbo": Price(3.0, 3.0, 6.0),
    "ft:davinci-002": Price(12.0, 12.0, 12.0),
    "ft:babbage-002": Price(1.6, 1.6, 1.6),
    "ft:o4-mini": _reasoning(4.0, 1.0, 16.0),
}
_SNAPSHOT = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{4})\Z")
_WORDS = re.compile(r"[-.:]")
_DIGIT = re.compile(r"\d")
_NAME_LENGTH = 128


def price_of(name: str | None) -> Price:
    """The price of the model of this name. A dated snapshot without a price of its own costs what its model
    does; what is unknown, what the dearest of its family does, or the dearest of all.

    >>> price_of("gpt-4o-mini-2024-07-18").output, price_of("ft:gpt-4o-mini-2024-07-18:org::id").output
    (0.6, 1.2)
    >>> price_of("gpt-4o-new").output
    15.0
    """
    return _price_of((name or "")[:_NAME_LENGTH])  # what callers make up must not fill the memory


@lru_cache(maxsize=1024)
def _price_of(name: str) -> Price:
    known = known_price(name)
    if known is not None:
        return known
    found = dearest([*_relatives(name), *_base(name)])
    return found if "search" in name else replace(found, call=0)


@lru_cache(maxsize=256)
def kept_longer(price: Price) -> Price:
    """The price where input stays in the cache longer than OpenAI's usual half hour: writing costs twice."""
    return replace(price, write=price.write * 2) if price.write > 1 else price


@lru_cache(maxsize=1024)
def known_price(name: str | None) -> Price | None:
    """The price of exactly this model, or None where the table does not have it."""
    if not name:
        return None
    if name.startswith("ft:"):
        name = ":".join(name.split(":")[:2])
    return TABLE.get(name) or TABLE.get(_SNAPSHOT.sub("", name))


def dearest(prices: Iterable[Price]) -> Price:
    """A price that none of these passes, in any part of it."""
    every = list(prices)
    parts = {field.name: max(getattr(price, field.name) for price in every) for field in fields(Price)}
    return Price(**parts)


def _relatives(name: str) -> list[Price]:
    """The models of the same family (`gpt-4o`), or of the same make (`gpt`), or all."""
    tuned = "ft:" if name.startswith("ft:") else ""
    first, *more = _WORDS.split(name.removeprefix(tuned)[:_NAME_LENGTH])
    family = first if _DIGIT.search(first) or not more else f"{first}-{more[0]}"
    make = _DIGIT.split(first)[0]
    for kin in (family, make):
        found = [price for known, price in TABLE.items() if kin and _is_of(known, tuned + kin)]
        if found:
            return found
    return list(TABLE.values())


def _base(name: str) -> list[Price]:
    """Of a fine-tuned model, the model it was made of: it costs that at least."""
    _, tuned, rest = name.partition("ft:")
    return [price_of(rest.partition(":")[0])] if tuned and rest else []


def _is_of(known: str, kin: str) -> bool:
    """Whether `known` begins with `kin`, as a whole word of the name or of its maker.

    >>> _is_of("gpt-4o-mini", "gpt-4o"), _is_of("gpt-4o-mini", "gpt-4"), _is_of("gpt-5.6-sol", "gpt")
    (True, False, True)
    """
    return known.startswith(kin) and not known[len(kin) : len(kin) + 1].isalpha()
