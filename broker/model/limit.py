"""A limit as policy writes it: how much of what, counted for whom, over which time.

Knows: the words of a limit. Must not know: how much is taken, or when a window begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo

from broker.model.charge import LimitState, Unit


class CalendarPeriod(StrEnum):
    """A part of the calendar. A week begins on Monday (ISO 8601)."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class FixedWindow(NamedTuple):
    """Windows of so many seconds follow each other from the epoch on."""

    seconds: int


class SlidingWindow(NamedTuple):
    """Whatever the moment, what was taken in the last so many seconds counts."""

    seconds: int


class CalendarWindow(NamedTuple):
    """A period of the calendar of a time zone; None: of the broker's own."""

    period: CalendarPeriod
    zone: ZoneInfo | None


WindowRule = FixedWindow | SlidingWindow | CalendarWindow | None
"""Over which time a limit counts; None: what is held, as long as it is."""

PERIODS = {period.value: period for period in CalendarPeriod}
OWN_ZONE = "localtime"
"""What Debian calls the zone that a machine is set to: no calendar that several share."""
WARN_PERCENT = 80
"""At which part of a limit it is told that it is nearly used up, where policy names none."""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `cap` of `unit` in a window of `rule`, counted under `key`: an account, and behind a space the
    limit's `name`, which policy gives. Without one, all of the key is the account. One that is `observed`
    refuses nothing. A call that does not fit into one with `fit` gets what is left: its answers are bounded
    to that. Once `warn_percent` of a window are taken, it is told; 0: never.
    """

    key: str
    unit: Unit
    cap: int
    rule: WindowRule
    name: str = ""
    observed: bool = False
    fit: bool = False
    warn_percent: int = WARN_PERCENT


class OwnLimit(NamedTuple):
    """A limit that a caller's calls count against, by the name that refusals use, and what is left of it."""

    name: str
    left: LimitState
