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


class Charge(NamedTuple):
    """`amount` of `unit` against `key`, at most `cap` in any window of `window_seconds`.

    A charge in MICRO_USD is a budget; the others are rate limits: that decides which error a full
    window answers with. `key` is what records call the limit, `label` what its callers do, where that is
    something else.
    """

    key: str
    unit: Unit
    amount: int
    cap: int
    window_seconds: int
    label: str | None = None


class Taken(NamedTuple):
    """So much of `unit` is taken of a limit in the window of `seconds` that began at `start` (unix seconds).
    `limit` is its key. Of a change, a negative amount gives back.
    """

    limit: str
    unit: Unit
    seconds: int
    start: int
    amount: int


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
        super().__init__(
            Kind.BUDGET_EXCEEDED if charge.unit is Unit.MICRO_USD else Kind.RATE_LIMITED,
            f"The limit of {charge.cap} {charge.unit} in {charge.window_seconds} s would be passed.",
            remedy=f"It is free again at {reset.isoformat()}.",
            retry_after=left.reset_seconds,
            details={
                "limit": charge.label or charge.key,
                "unit": charge.unit.value,
                "reset": reset.isoformat(),
            },
        )
        self.left = left


@dataclass(frozen=True, slots=True)
class Reservation:
    """Charges taken together, each in the window that began at `windows[i]`, until they are settled.
    `left[i]` is what it left of its limit.
    """

    charges: tuple[Charge, ...] = ()
    windows: tuple[int, ...] = ()
    left: tuple[LimitState, ...] = ()

    @property
    def taken(self) -> tuple[Taken, ...]:
        """What it takes of each limit."""
        return tuple(
            [
                Taken(key, unit, seconds, start, amount)
                for (key, unit, amount, _, seconds, _), start in zip(self.charges, self.windows, strict=True)
            ]
        )


def settled(taken: Iterable[Taken], used: Mapping[Unit, int]) -> tuple[Taken, ...]:
    """By how much the windows change where this was used in the end. What `used` does not tell stays."""
    return tuple(
        [
            Taken(limit, unit, seconds, start, used[unit] - amount)
            for limit, unit, seconds, start, amount in taken
            if unit in used
        ]
    )
