"""Tokens → micro-dollars, at the price of a model and a service tier. In whole numbers: no sum rounds.

Knows: how OpenAI multiplies. Must not know: which tokens a call has, who pays.
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from broker.catalog.prices import LONG_TOKENS, Price
from broker.model.units import PICO_PER_MICRO

MAX_AMOUNT = 2**53 - 1
"""The largest number that a record and every policy engine read alike: no amount passes it."""


class Tier(StrEnum):
    """OpenAI's service tiers, as they are priced."""

    STANDARD = "standard"
    FLEX = "flex"
    FAST = "fast"
    ULTRAFAST = "ultrafast"


_TIERS = {
    None: Tier.STANDARD,
    "auto": Tier.STANDARD,
    "default": Tier.STANDARD,
    "standard": Tier.STANDARD,
    "scale": Tier.STANDARD,  # paid for beforehand
    "flex": Tier.FLEX,
    "priority": Tier.FAST,  # OpenAI's earlier name for it
    "fast": Tier.FAST,
    "ultrafast": Tier.ULTRAFAST,
}


class Tokens(NamedTuple):
    """Tokens of one call. `cached`, `written` (into the cache) and `heard` (audio) are among the `input`,
    `spoken` (audio) among the `output`.
    """

    input: int
    output: int
    cached: int = 0
    written: int = 0
    heard: int = 0
    spoken: int = 0

    @property
    def total(self) -> int:
        return min(self.input + self.output, MAX_AMOUNT)


class Rates(NamedTuple):
    """Pico-dollars a token."""

    fresh: int
    cached: int
    written: int
    output: int
    heard: int
    spoken: int


def tier_of(word: object) -> Tier:
    """The tier of a request's or a reply's `service_tier`; a word that nobody knows is the dearest one.

    >>> tier_of(None).value, tier_of("priority").value, tier_of("warp").value
    ('standard', 'fast', 'ultrafast')
    """
    return _TIERS.get(word, Tier.ULTRAFAST) if word is None or isinstance(word, str) else Tier.STANDARD


@lru_cache(maxsize=4096)
def rates(price: Price, tier: Tier, long: bool, regional: bool) -> Rates:
    """What each kind of token costs there; audio that a model has no price for costs what text does."""
    factor = {Tier.FAST: price.fast, Tier.FLEX: price.flex, Tier.ULTRAFAST: price.ultrafast}.get(tier, 1.0)
    factor *= price.regional if regional else 1.0
    longer = long and price.long
    into, out = factor * (2.0 if longer else 1.0), factor * (1.5 if longer else 1.0)
    return Rates(
        _pico(price.input * into),
        _pico(price.cached * into),
        _pico(price.input * price.write * into),
        _pico(price.output * out),
        _pico((price.audio_in or price.input) * into),
        _pico((price.audio_out or price.output) * out),
    )


def cost(price: Price, tokens: Tokens, tier: Tier = Tier.STANDARD, *, regional: bool = False) -> int:
    """Micro-dollars, rounded up, with the price of the call itself; at most MAX_AMOUNT."""
    into, out, cached, written, heard, spoken = tokens
    rate = rates(price, tier, into > LONG_TOKENS, regional)
    heard = min(heard, into)
    cached = min(cached, into - heard)
    written = min(written, into - heard - cached)
    spoken = min(spoken, out)
    pico = (
        (into - heard - cached - written) * rate.fresh
        + cached * rate.cached
        + written * rate.written
        + heard * rate.heard
        + (out - spoken) * rate.output
        + spoken * rate.spoken
    )
    return min(-(-pico // PICO_PER_MICRO) + price.call, MAX_AMOUNT)


def _pico(micro: float) -> int:
    return round(micro * PICO_PER_MICRO)
