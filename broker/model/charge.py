"""What a call is charged against: rate limits and budgets, in whole units."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from broker.errors import BrokerError, Kind


class Unit(StrEnum):
    """What is counted. Money is in millionths of a US dollar."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    MICRO_USD = "micro_usd"


UNITS: Mapping[str, Unit] = {unit.value: unit for unit in Unit}
_REQUESTS, _TOKENS, _MICRO_USD = Unit
MOST_LIMITS = 128
"""How many limits one call may have: about what its intent has room for."""


def amounts(requests: int, tokens: int, micro_usd: int) -> dict[Unit, int]:
    """So much of each unit."""
    return {_REQUESTS: requests, _TOKENS: tokens, _MICRO_USD: micro_usd}


class Taken(NamedTuple):
    """So much of `unit` is taken of a limit in the window of `seconds` that began at `start` (unix seconds).
    `limit` is its key. Of a change, a negative amount gives back.
    """

    limit: str
    unit: Unit
    seconds: int
    start: int
    amount: int


Window = tuple[str, Unit, int, int]
"""Limit, unit, seconds, start: what a Taken is of."""


class Charge(NamedTuple):
    """`taken` is to be taken of a limit, at most `cap` in its window.

    A charge in MICRO_USD is a budget; the others are rate limits: that decides which error a full
    window answers with. `taken.limit` is what records call the limit, `label` what its callers do, where that
    is something else.
    """

    taken: Taken
    cap: int
    label: str | None = None


class LimitState(NamedTuple):
    """What is left of a limit: `remaining` of `cap`, and the seconds until its window ends."""

    unit: Unit
    cap: int
    remaining: int
    reset_seconds: float


class LimitExceededError(BrokerError):
    """RATE_LIMITED, or BUDGET_EXCEEDED for money: a call would pass a limit of which this is `left`."""

    def __init__(self, charge: Charge, left: LimitState, reset: datetime) -> None:
        """`reset`: when its window ends."""
        limit, unit, seconds, _, _ = charge.taken
        super().__init__(
            Kind.BUDGET_EXCEEDED if unit is Unit.MICRO_USD else Kind.RATE_LIMITED,
            f"The limit of {charge.cap} {unit} in {seconds} s would be passed.",
            remedy=f"It is free again at {reset.isoformat()}.",
            retry_after=left.reset_seconds,
            details={"limit": charge.label or limit, "unit": unit.value, "reset": reset.isoformat()},
        )
        self.left = left


@dataclass(frozen=True, slots=True)
class Reservation:
    """What was taken of limits together, until it is settled. `left[i]` is what it left of its limit."""

    taken: tuple[Taken, ...] = ()
    left: tuple[LimitState, ...] = ()


def settled(taken: Iterable[Taken], used: Mapping[Unit, int]) -> tuple[Taken, ...]:
    """By how much the windows change where this was used in the end. What `used` does not tell stays."""
    return tuple(
        [
            Taken(limit, unit, seconds, start, used[unit] - amount)
            for limit, unit, seconds, start, amount in taken
            if unit in used
        ]
    )
