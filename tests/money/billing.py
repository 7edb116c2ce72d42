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
    "ft:gpt-4o-mini-2024-07-18:org::id": ("0.3", "0.15", "1.2"),
}
TIERS = {
    ("gpt-4o", "priority"): Fraction("1.7"),
    ("gpt-4o-mini", "priority"): Fraction(5, 3),
    ("gpt-5", "priority"): Fraction(2),
    ("gpt-5", "flex"): Fraction(1, 2),
    ("o3", "priority"): Fraction("1.75"),
    ("o3", "flex"): Fraction(1, 2),
}
REASONS = frozenset({"gpt-5", "o3"})
LONGEST = {"gpt-4o-2024-05-13": 4_096, "gpt-5": 128_000, "o3": 100_000}  # of the others 16,384


@dataclass(frozen=True)
class Work:
    """What the model did for a call: tokens in, of them cached, and out."""

    tokens_in: int
    cached: int
    tokens_out: int


def bill(model: str, tier: str | None, work: Work) -> int:
    """Micro-dollars, rounded up: nothing smaller can be charged."""
    fresh, cached, output = map(Fraction, PRICES[model])
    factor = TIERS.get((model, tier or "default"), Fraction(1))
    owed = (work.tokens_in - work.cached) * fresh + work.cached * cached + work.tokens_out * output
    return ceil(owed * factor)
