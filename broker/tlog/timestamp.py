"""When an entry was made, as text: RFC 3339 in UTC with six decimals, and no other form of the same moment.

Knows: one form. Must not know: clocks, entries.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache

from broker.model.units import US_PER_SECOND
from broker.tlog.malformed import MalformedError

_EPOCH = datetime(1970, 1, 1)  # naive on both sides of every sum: always UTC
_MICROSECOND = timedelta(microseconds=1)


def format_time(time_us: int) -> str:
    """RFC 3339 in UTC with six decimals.

    >>> format_time(1_794_000_000_000_001)
    '2026-11-06T21:20:00.000001Z'
    """
    seconds, microseconds = divmod(time_us, US_PER_SECOND)
    return f"{_format_second(seconds)}.{microseconds:06d}Z"


@lru_cache(maxsize=8)
def _format_second(seconds: int) -> str:
    """Many entries share a second."""
    try:
        return (_EPOCH + timedelta(seconds=seconds)).isoformat(timespec="seconds")
    except OverflowError as error:
        raise MalformedError("a time outside the years 1 to 9999") from error


def parse_time(text: str) -> int:
    """Unix microseconds. Raises MalformedError for any other form."""
    try:
        time_us = (datetime.fromisoformat(text.removesuffix("Z")) - _EPOCH) // _MICROSECOND
    except (ValueError, TypeError) as error:
        raise MalformedError("a time that is not RFC 3339") from error
    if format_time(time_us) != text:
        raise MalformedError("a time that is not UTC with six decimals")
    return time_us
