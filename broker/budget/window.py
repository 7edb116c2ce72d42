"""Fixed windows: when one began, when it ends, and what is left of a limit in it.

Knows: whole numbers and aligned windows. Must not know: clocks, stores, callers.
"""

from __future__ import annotations

from datetime import UTC, datetime

from broker.model.charge import Charge, LimitExceededError, LimitState
from broker.model.units import NS_PER_SECOND

_LAST_SECOND = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())  # of the calendar


def start_of(now_ns: int, window_seconds: int) -> int:
    """The beginning (unix seconds) of the window that holds `now_ns`; windows align to the epoch.

    >>> start_of(125_000_000_000, 60)
    120
    """
    now = now_ns // NS_PER_SECOND
    return now - now % window_seconds


def left_of(charge: Charge, taken: int, now_ns: int) -> LimitState:
    """What is left of a limit of which so much is taken."""
    remaining = max(0, charge.cap - taken)  # a cap may have been lowered meanwhile
    return LimitState(
        charge.taken.unit, charge.cap, remaining, max(0.0, _end(charge) - now_ns / NS_PER_SECOND)
    )


def exceeded(charge: Charge, taken: int, now_ns: int) -> LimitExceededError:
    """What a charge is answered that would pass its cap, where so much is taken."""
    return LimitExceededError(
        charge, left_of(charge, taken, now_ns), datetime.fromtimestamp(_end(charge), UTC)
    )


def _end(charge: Charge) -> int:
    return min(charge.taken.start + charge.taken.seconds, _LAST_SECOND)
