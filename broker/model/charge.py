"""What a call is charged against: rate limits and budgets, in whole units."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Unit(StrEnum):
    """What is counted. Money is in millionths of a US dollar."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    MICRO_USD = "micro_usd"


_REQUESTS, _TOKENS, _MICRO_USD = Unit


def amounts(requests: int, tokens: int, micro_usd: int) -> dict[Unit, int]:
    """So much of each unit."""
    return {_REQUESTS: requests, _TOKENS: tokens, _MICRO_USD: micro_usd}


class Charge(NamedTuple):
    """`amount` of `unit` against `key`, at most `cap` in any window of `window_seconds`.

    A charge in MICRO_USD is a budget; the others are rate limits: that decides which error a full
    window answers with.
    """

    key: str
    unit: Unit
    amount: int
    cap: int
    window_seconds: int


@dataclass(frozen=True, slots=True)
class Reservation:
    """Charges taken together, each in the window that began at `started_ns[i]`, until they are settled."""

    charges: tuple[Charge, ...] = ()
    windows: tuple[int, ...] = ()
