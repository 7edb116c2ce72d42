"""OpenAI's billing as its documents tell it, written without the broker's: what a test holds the broker to.

A call is billed when the model ran for it: its input, cached input at its own price, and all output, the
reasoning included, at the price of the model that served and of the service tier that served. A refusal is
not billed, nor is what is stored read again.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

# US dollars per million tokens: input, cached input, output (pricing page, November 2026).
PRICES = {
    "gpt-4o": ("2.5", "1.25", "10"),
    "gpt-4o-2024-05-13": ("5", "5", "15"),
    "gpt-4o-mini": ("0.15", "0.075", "0.6"),
    "gpt-5": ("1.25", "0.125", "10"),
    "o3": ("2", "0.5", "8"),
    "gpt-5.6-sol": ("4", "0.4", "20"),
    "gpt-audio": ("2.5", "2.5", "10"),
    "ft:gpt-4o-mini-2024-07-18:org::id": ("0.3", "0.15", "1.2"),
}
TIERS = {
    ("gpt-4o", "priority"): Fraction("1.7"),
    ("gpt-4o-mini", "priority"): Fraction(5, 3),
    ("gpt-5", "priority"): Fraction(2),
    ("gpt-5", "flex"): Fraction(1, 2),
    ("gpt-5.6-sol", "priority"): Fraction("2.5"),
    ("gpt-5.6-sol", "flex"): Fraction(1, 2),
    ("o3", "priority"): Fraction("1.75"),
    ("o3", "flex"): Fraction(1, 2),
}
REASONS = frozenset({"gpt-5", "o3", "gpt-5.6-sol"})
LONGEST = {
    "gpt-4o-2024-05-13": 4_096,
    "gpt-5": 128_000,
    "o3": 100_000,
    "gpt-5.6-sol": 128_000,
    "gpt-audio": 128_000,
}  # of the others 16,384; of one that is in no list, the longest
SPEECH = {"gpt-audio": (Fraction(32), Fraction(64))}
"""Audio in and out; for other models audio is not sold, and costs what text does."""
WRITES = {"gpt-5.6-sol": Fraction(5, 4)}
"""Input that goes into the cache, in times of its price."""
IN_A_REGION = {"gpt-5.6-sol": Fraction(11, 10)}
LONG = frozenset({"gpt-5.6-sol"})
LONG_INPUT = 272_000
"""From here on the whole input of these costs twice, the output one and a half times."""


@dataclass(frozen=True)
class Work:
    """What the model did for a call: tokens in, of them cached, and out; of those in, how many went into the
    cache, and how many were heard; of those out, how many were spoken.
    """

    tokens_in: int
    cached: int
    tokens_out: int
    written: int = 0
    heard: int = 0
    spoken: int = 0


def bill(model: str, tier: str | None, work: Work, *, regional: bool = False) -> int:
    """Micro-dollars, rounded up: nothing smaller can be charged."""
    fresh, cached, output = map(Fraction, PRICES[model])
    factor = TIERS.get((model, tier or "default"), Fraction(1))
    if regional:
        factor *= IN_A_REGION.get(model, Fraction(1))
    heard, spoken = SPEECH.get(model, (fresh, output))
    read = work.tokens_in - work.cached - work.written - work.heard
    into = read * fresh + work.cached * cached + work.heard * heard
    into += work.written * fresh * WRITES.get(model, Fraction(1))
    out = (work.tokens_out - work.spoken) * output + work.spoken * spoken
    if model in LONG and work.tokens_in > LONG_INPUT:
        into, out = into * 2, out * Fraction(3, 2)
    return ceil((into + out) * factor)
