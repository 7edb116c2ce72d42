"""What a call is charged against: rate limits and budgets, in whole units."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from broker.errors import BrokerError, Kind


class Unit(StrEnum):
    """What is counted. Money is in millionths of a US dollar. The last two are held while a call is under way
    and no longer, so they have no window.
    """

    REQUESTS = "requests"
    TOKENS = "tokens"
    MICRO_USD = "micro_usd"
    CONCURRENT_CALLS = "concurrent_calls"
    CONCURRENT_STREAMS = "concurrent_streams"


UNITS: Mapping[str, Unit] = {unit.value: unit for unit in Unit}
_REQUESTS, _TOKENS, _MICRO_USD, _CALLS, _STREAMS = Unit
HELD = frozenset({_CALLS, _STREAMS})
"""What a call gives back when it ends, however it does."""
MOST_LIMITS = 128
"""How many limits one record may name at most."""
CHARGES_BYTES = 12 * 1024
"""So many bytes of a record may name what it takes of limits, or gives back: an entry has 16 KiB."""
_CHARGE_BYTES = 116  # beside its limit: `{"amount":…,"limit":"…","seconds":…,"start":…,"unit":"…"},` at most
_NEXT_TRY_SECONDS = 1.0


ONE_REQUEST = 1
"""Every call that has an intent is one, however it ends."""


def most(tokens: int, micro_usd: int, *, stream: bool) -> dict[Unit, int]:
    """What one call takes of each unit at most."""
    return {_REQUESTS: ONE_REQUEST, _TOKENS: tokens, _MICRO_USD: micro_usd, _CALLS: 1, _STREAMS: int(stream)}


def used(tokens: int, micro_usd: int) -> dict[Unit, int]:
    """What stays of it when the call has ended."""
    return {_REQUESTS: ONE_REQUEST, _TOKENS: tokens, _MICRO_USD: micro_usd, _CALLS: 0, _STREAMS: 0}


class Taken(NamedTuple):
    """So much of `unit` is taken of a limit, which counts from `start` (unix seconds) on for `seconds`; both
    are 0 where it counts until it is given back. `limit` is its key. Of a change, a negative amount gives
    back.
    """

    limit: str
    unit: Unit
    seconds: int
    start: int
    amount: int


Window = tuple[str, Unit, int, int]
"""Limit, unit, seconds, start: what a Taken is of."""


def charge_bytes(name: str) -> int:
    """How many bytes at most it takes to record what is taken of a limit of this name, once."""
    return _CHARGE_BYTES + len(json.dumps(name, ensure_ascii=False).encode())


def most_charges(name: str) -> int:
    """How many windows of a limit of this name one record has room for: one at least.

    >>> most_charges("spiffe://dev.broker/ns/demo/sa/assistant calls/hour"), most_charges("x" * 257)
    (72, 32)
    """
    return max(1, min(MOST_LIMITS, CHARGES_BYTES // charge_bytes(name)))


class Charge(NamedTuple):
    """`taken` is to be taken of a limit, at most `cap` of what counts at `taken.start`.

    That is what was taken in so many `slices`: this one, and those before it, each as long as that part of
    `taken.seconds`. A window that does not slide is one slice. A charge that is `observed` is taken whatever
    the cap. The first that brings what is taken to `warn_at` is told of; 0: none is.
    A charge in MICRO_USD is a budget; the others are rate limits: that decides which error a full
    window answers with. `taken.limit` is what records call the limit, `label` what its callers do, where that
    is something else. Where one with `fit` is too much, a call that needs less may take what is left.
    """

    taken: Taken
    cap: int
    label: str | None = None
    slices: int = 1
    observed: bool = False
    warn_at: int = 0
    fit: bool = False


class LimitUse(NamedTuple):
    """So much is `taken` of a limit of `cap`; None where that is not known."""

    taken: Taken
    cap: int | None


class LimitState(NamedTuple):
    """What is left of a limit: `remaining` of `cap`, and the seconds until all of what is taken now is free
    again; None: nobody knows, it is held.
    """

    unit: Unit
    cap: int
    remaining: int
    reset_seconds: float | None


class LimitExceededError(BrokerError):
    """RATE_LIMITED, or BUDGET_EXCEEDED for money: a call would pass a limit of which this is `left`."""

    def __init__(self, charge: Charge, left: LimitState, reset: datetime | None) -> None:
        """`reset`: when there is room for the charge again; None: when another call ends."""
        limit, unit, seconds, _, _ = charge.taken
        facts = {"limit": charge.label or limit, "unit": unit.value}
        over = f" in {seconds} s" if seconds else ""
        super().__init__(
            Kind.BUDGET_EXCEEDED if unit is Unit.MICRO_USD else Kind.RATE_LIMITED,
            f"The limit of {charge.cap} {unit}{over} would be passed.",
            remedy=f"It is free again at {reset.isoformat()}."
            if reset
            else "It is free again when one of those under way has ended.",
            retry_after=_NEXT_TRY_SECONDS if left.reset_seconds is None else left.reset_seconds,
            details={**facts, "reset": reset.isoformat()} if reset else facts,
        )
        self.left = left
        self.fit = charge.fit
        """Whether a call that takes what is left may go."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """What was taken of limits together, until it is settled. `left` is what it left of each that refuses;
    `warned` are those that it brought so near to their cap that it is told, `passed` the names of those whose
    cap it passed because they are only observed.
    """

    taken: tuple[Taken, ...] = ()
    left: tuple[LimitState, ...] = ()
    warned: tuple[LimitUse, ...] = ()
    passed: tuple[str, ...] = ()


def settled(taken: Iterable[Taken], stays: Mapping[Unit, int]) -> tuple[Taken, ...]:
    """By how much the windows change where this was used in the end. What `stays` does not tell stays."""
    return tuple(
        [
            Taken(limit, unit, seconds, start, stays[unit] - amount)
            for limit, unit, seconds, start, amount in taken
            if unit in stays
        ]
    )


def given_back(taken: Iterable[Taken]) -> tuple[Taken, ...]:
    """By how much they change where the call that took it is over, and nobody knows what it used: what it
    held comes back, all else stays.
    """
    return settled(taken, dict.fromkeys(HELD, 0))
