"""What the data of policies allows to be spent in a month: the limits of money that its roles name.

Knows: where roles have their limits. Must not know: who has a role, what was spent, OpenAI's own limits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass

from broker.model.charge import Unit
from broker.model.limit import CalendarPeriod
from broker.model.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_MINUTE

MONTH_DAYS = 31
_MONTH_SECONDS = MONTH_DAYS * SECONDS_PER_DAY
_PERIODS = {
    CalendarPeriod.MINUTE.value: SECONDS_PER_MINUTE,
    CalendarPeriod.HOUR.value: SECONDS_PER_HOUR,
    CalendarPeriod.DAY.value: SECONDS_PER_DAY,
    CalendarPeriod.WEEK.value: 7 * SECONDS_PER_DAY,
    CalendarPeriod.MONTH.value: _MONTH_SECONDS,
}
_Table = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class MonthlyMoney:
    """So many micro-dollars one account may spend in MONTH_DAYS days, by the limit at `place`."""

    micro_usd: int
    place: str


def has_roles(base: _Table) -> bool:
    """Whether the data is laid out as here told; rules of one's own may keep their limits elsewhere."""
    return bool(_object(base.get("roles")))


def most_money(base: _Table, credentials: Set[str]) -> MonthlyMoney | None:
    """What one account may spend at most through a role of one of these credentials; None where no such role
    limits money. Limits of one account bind together, so the smallest counts; observed ones bind nobody.

    >>> limits = {"a": {"unit": "micro_usd", "cap": 10, "calendar": "day"}}
    >>> most_money({"roles": {"r": {"credential": "c", "limits": limits}}}, {"c"})
    MonthlyMoney(micro_usd=310, place='roles.r.limits, a')
    """
    found = [
        min(bound, key=_amount)
        for name, role in _object(base.get("roles")).items()
        if _object(role).get("credential") in credentials
        for bound in _bounds(f"roles.{name}", _object(role))
        if bound
    ]
    return max(found, key=_amount, default=None)


def _bounds(place: str, role: _Table) -> Iterator[list[MonthlyMoney]]:
    """The limits of money of each kind of account: the subject, its team, the user."""
    yield list(_monthly(f"{place}.limits", _object(role.get("limits"))))
    for kind, limits in _object(role.get("limits_by")).items():
        yield list(_monthly(f"{place}.limits_by.{kind}", _object(limits)))


def _monthly(place: str, limits: _Table) -> Iterator[MonthlyMoney]:
    for name, entry in limits.items():
        limit = _object(entry)
        cap, seconds = limit.get("cap"), _seconds(limit)
        counts = limit.get("unit") == Unit.MICRO_USD.value and limit.get("observe") is not True
        if counts and isinstance(cap, int) and seconds:
            yield MonthlyMoney(max(cap, cap * _MONTH_SECONDS // seconds), f"{place}, {name}")


def _seconds(limit: _Table) -> int:
    """How long its window is; 0 where it has none."""
    for word in ("window_seconds", "sliding_seconds"):
        seconds = limit.get(word)
        if isinstance(seconds, int):
            return seconds
    return _PERIODS.get(str(limit.get("calendar")), 0)


def _amount(money: MonthlyMoney) -> int:
    return money.micro_usd


def _object(value: object) -> _Table:
    return value if isinstance(value, dict) else {}
