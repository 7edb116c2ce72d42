"""Which window a moment lies in, and what is left of a limit in it.

Knows: whole seconds, the calendar. Must not know: clocks, stores, callers.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple

from broker.budget.limits import CapPassed, LimitTaken
from broker.model.charge import Charge, LimitExceededError, LimitState, LimitUse, Reservation
from broker.model.limit import CalendarPeriod, CalendarWindow, FixedWindow, SlidingWindow, WindowRule
from broker.model.units import NS_PER_MINUTE, NS_PER_SECOND, SECONDS_PER_HOUR, SECONDS_PER_MINUTE

_LAST_SECOND = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())  # of the calendar
_SLICES = 60
_KEPT = 1024
_DECEMBER = 12


def start_of(now_ns: int, seconds: int) -> int:
    """The beginning (unix seconds) of so many seconds that hold `now_ns`, of those that follow each other
    from the epoch on.

    >>> start_of(125_000_000_000, 60)
    120
    """
    now = now_ns // NS_PER_SECOND
    return now - now % seconds


class Span(NamedTuple):
    """What is taken now is counted at `start` (unix seconds), for `seconds`; so is what was taken in the
    `slices` before, this one included, of which each has the same part of these seconds.
    """

    start: int
    seconds: int
    slices: int


_HELD = Span(0, 0, 1)


def span_at(rule: WindowRule, now_ns: int, zone: tzinfo) -> Span:
    """The window of this moment; `zone` is whose calendar counts where the rule names none.

    A sliding window is counted in sixtieths, each wholly as long as a part of it counts: so never less than
    was taken, and at most two sixtieths longer.

    >>> span_at(FixedWindow(60), 125 * NS_PER_SECOND, UTC)
    Span(start=120, seconds=60, slices=1)
    >>> span_at(SlidingWindow(3600), 3725 * NS_PER_SECOND, UTC)
    Span(start=3720, seconds=3660, slices=61)
    """
    match rule:
        case None:
            return _HELD
        case FixedWindow(seconds):
            return Span(start_of(now_ns, seconds), seconds, 1)
        case SlidingWindow(seconds):
            part = -(-seconds // _SLICES)
            slices = -(-seconds // part) + 1
            return Span(start_of(now_ns, part), part * slices, slices)
        case CalendarWindow(period, own):
            return _calendar(period, own or zone, now_ns // NS_PER_MINUTE)


@lru_cache(_KEPT)
def _calendar(period: CalendarPeriod, zone: tzinfo, minute: int) -> Span:
    """The period that holds a unix minute: time zones change at whole ones."""
    now = minute * SECONDS_PER_MINUTE
    local = datetime.fromtimestamp(now, zone)
    if period in (CalendarPeriod.MINUTE, CalendarPeriod.HOUR):
        seconds = SECONDS_PER_MINUTE if period is CalendarPeriod.MINUTE else SECONDS_PER_HOUR
        offset = local.utcoffset() or timedelta()
        return Span(now - (now + int(offset.total_seconds())) % seconds, seconds, 1)
    first, after = _days(period, local.date())
    begin = _midnight(first, zone)
    return Span(begin, _midnight(after, zone) - begin, 1)


def _days(period: CalendarPeriod, today: date) -> tuple[date, date]:
    """The first day of the period, and the one after its last."""
    if period is CalendarPeriod.DAY:
        return today, today + timedelta(days=1)
    if period is CalendarPeriod.WEEK:
        monday = today - timedelta(days=today.weekday())
        return monday, monday + timedelta(weeks=1)
    first = today.replace(day=1)
    after = first.replace(year=first.year + 1, month=1) if first.month == _DECEMBER else None
    return first, after or first.replace(month=first.month + 1)


def _midnight(day: date, zone: tzinfo) -> int:
    """When a day begins; where the clocks skip its midnight, when they do."""
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())


def reserved(charges: Sequence[Charge], taken: Sequence[LimitTaken], now_ns: int) -> Reservation:
    """What a call has that was charged so: `taken` is what is taken of each limit since."""
    pairs = list(zip(charges, taken, strict=True))
    return Reservation(
        tuple([charge.taken for charge in charges]),
        tuple([left_of(charge, now.amount, now_ns) for charge, now in pairs if not charge.observed]),
        tuple(
            [
                LimitUse(charge.taken._replace(amount=now.amount), charge.cap)
                for charge, now in pairs
                if now.warned
            ]
        ),
        tuple([charge.taken.limit for charge, now in pairs if charge.observed and now.amount > charge.cap]),
    )


def left_of(charge: Charge, taken: int, now_ns: int) -> LimitState:
    """What is left of a limit of which so much is taken."""
    remaining = max(0, charge.cap - taken)  # a cap may have been lowered meanwhile
    _, unit, seconds, start, _ = charge.taken
    reset = max(0.0, start + seconds - now_ns / NS_PER_SECOND) if seconds else None
    return LimitState(unit, charge.cap, remaining, reset)


def exceeded(charges: Sequence[Charge], passed: CapPassed, now_ns: int) -> LimitExceededError:
    """What a call is answered one of whose charges would pass its cap."""
    charge = charges[passed.place]
    left = left_of(charge, passed.taken, now_ns)
    if left.reset_seconds is None:
        return LimitExceededError(charge, left, None)
    free = min(passed.free_at, _LAST_SECOND)
    left = left._replace(reset_seconds=max(0.0, free - now_ns / NS_PER_SECOND))
    return LimitExceededError(charge, left, datetime.fromtimestamp(free, UTC))
