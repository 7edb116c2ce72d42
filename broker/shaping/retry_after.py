"""How long a server asks us to wait: the one reader of it, for every server that is asked.

Knows: Retry-After and OpenAI's retry-after-ms. Must not know: who waits, and for what. It never raises: what
is not of the grammar says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from broker.model.units import MS_PER_SECOND, NS_PER_SECOND

LONGEST_SECONDS = float(2**31)
"""What a longer time counts as (RFC 9111, 1.2.2)."""
_DECIMAL = re.compile(r"[0-9]+(?:\.[0-9]+)?\Z")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_WEEKDAY = r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_MONTH = f"(?P<month>{'|'.join(_MONTHS)})"
_TIME = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_DATES = tuple(
    re.compile(form + r"\Z")
    for form in (
        rf"{_DAY}, (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT",
        rf"{_WEEKDAY}, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT",
        rf"{_DAY} {_MONTH} (?P<day>[0-9]{{2}}| [0-9]) {_TIME} (?P<year>[0-9]{{4}})",
    )
)
_CENTURY = 100
_FORESEEN = 50
_LAST_SECOND = 59


def wait_of(headers: Iterable[tuple[str, str]], now_ns: int | None) -> float | None:
    """Seconds that an answer asks to wait: its retry-after-ms, else its Retry-After. `headers` have names in
    lower case. None where neither says it.

    >>> wait_of([("retry-after", "2"), ("retry-after-ms", "1500")], 0)
    1.5
    """
    asked = {name: value for name, value in headers if name in ("retry-after", "retry-after-ms")}
    milliseconds = decimal(asked.get("retry-after-ms"))
    return (
        seconds_of(asked.get("retry-after"), now_ns) if milliseconds is None else milliseconds / MS_PER_SECOND
    )


def seconds_of(value: str | None, now_ns: int | None) -> float | None:
    """Retry-After (RFC 9110, 10.2.3): seconds, or an HTTP date, of which one that is over means 0. None for
    everything else, and for a date where `now_ns` (Unix nanoseconds) is None.

    >>> seconds_of("7", 0), seconds_of("Thu, 01 Jan 1970 00:01:00 GMT", 0), seconds_of("1_0", 0)
    (7.0, 60.0, None)
    """
    seconds = decimal(value)
    if seconds is not None or value is None or now_ns is None:
        return seconds
    moment = _date(value, now_ns)
    return None if moment is None else min(max(0.0, moment - now_ns / NS_PER_SECOND), LONGEST_SECONDS)


def rest_of(value: str | None, longest_seconds: float) -> float | None:
    """Retry-After of a server that is asked again in the background: seconds, at least one and not more than
    `longest_seconds`. A date counts as none.

    >>> rest_of("0", 60.0), rest_of("3600", 60.0), rest_of(None, 60.0)
    (1.0, 60.0, None)
    """
    asked = seconds_of(value, None)
    return None if asked is None else min(max(asked, 1.0), longest_seconds)


def decimal(value: str | None) -> float | None:
    """Digits, also with a fraction, as OpenAI sends and the RFC does not name. No sign, no exponent, no
    space, no underscore, no digits but those of ASCII. At most LONGEST_SECONDS.
    """
    if value is None or _DECIMAL.match(value) is None:
        return None
    return min(float(value), LONGEST_SECONDS)


def _date(value: str, now_ns: int) -> float | None:
    """Unix seconds of an HTTP date, in each of its three forms (RFC 9110, 5.6.7)."""
    found = next(filter(None, (form.match(value) for form in _DATES)), None)
    if found is None:
        return None
    year = int(found["year"])
    if len(found["year"]) < 4:  # noqa: PLR2004 - two digits: the year nearest to now, at most 50 ahead
        this_year = datetime.fromtimestamp(now_ns / NS_PER_SECOND, UTC).year
        year += this_year - this_year % _CENTURY
        year -= _CENTURY if year > this_year + _FORESEEN else 0
    try:
        moment = datetime(
            year,
            _MONTHS.index(found["month"]) + 1,
            int(found["day"]),
            int(found["hour"]),
            int(found["minute"]),
            min(int(found["second"]), _LAST_SECOND),  # 60 is a leap second
            tzinfo=UTC,
        )
    except ValueError:  # a day or an hour that there is not
        return None
    return moment.timestamp()
