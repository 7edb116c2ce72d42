"""`--since` and `--until`: a moment, or how long ago.

Knows: how people write times. Must not know: what is selected by them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from broker.errors import BrokerError, Kind

Since = Annotated[
    str | None, typer.Option(help="Not before: 2026-11-24, 2026-11-24T10:00Z, or ago: 30m, 12h, 7d.")
]
Until = Annotated[str | None, typer.Option(help="Before: a time, or how long ago, as in --since.")]

_AGO = re.compile(r"(\d{1,6})([smhdw])\Z")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Period:
    """From `since_us` on and before `until_us`, in unix microseconds; None is open."""

    since_us: int | None = None
    until_us: int | None = None

    def holds(self, time_us: int) -> bool:
        """Whether the moment is inside."""
        if self.since_us is not None and time_us < self.since_us:
            return False
        return self.until_us is None or time_us < self.until_us


def period(since: str | None, until: str | None, now: datetime) -> Period:
    """The period of the two options. Raises BrokerError BAD_REQUEST for what is no time, and where nothing
    can be inside.
    """
    found = Period(_moment("--since", since, now), _moment("--until", until, now))
    if found.since_us is not None and found.until_us is not None and found.since_us >= found.until_us:
        raise BrokerError(
            Kind.BAD_REQUEST, "--since is not before --until.", remedy="Exchange them, or leave one out."
        )
    return found


def _moment(option: str, text: str | None, now: datetime) -> int | None:
    """Unix microseconds. A time without a zone is UTC."""
    if text is None:
        return None
    try:
        if (ago := _AGO.match(text)) is not None:
            moment = now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        else:
            moment = datetime.fromisoformat(text)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise BrokerError(
            Kind.BAD_REQUEST,
            f"{option} is neither a time nor how long ago.",
            remedy="Write it like 2026-11-24, 2026-11-24T10:00Z, 30m, 12h or 7d.",
        ) from None
    return (moment - _EPOCH) // _MICROSECOND
