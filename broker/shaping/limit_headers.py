"""What a reply tells of the broker's own limits, in the form in which OpenAI tells its own.

Knows: header names. Must not know: who counts, which listener writes. Upstream's `x-ratelimit-…` stay what
they are: they are of the key, which many callers share.
"""

from __future__ import annotations

from collections.abc import Iterable

from broker.errors import BrokerError
from broker.model.charge import LimitExceededError, LimitState, Unit
from broker.model.units import MS_PER_SECOND

Headers = tuple[tuple[str, str], ...]
PREFIX = "x-broker-ratelimit-"
_MS_PER_MINUTE = 60 * MS_PER_SECOND
_NAMES = {
    unit: [f"{PREFIX}{what}-{unit.value.replace('_', '-')}" for what in ("limit", "remaining", "reset")]
    for unit in Unit
}


def limit_headers(left: Iterable[LimitState]) -> Headers:
    """For each unit the limit of which the least remains; among equals the one that begins anew last.

    >>> state = LimitState(Unit.REQUESTS, 60, 59, 6.5)
    >>> limit_headers([state, LimitState(Unit.REQUESTS, 1000, 12, 86_400.0)])[0]
    ('x-broker-ratelimit-limit-requests', '1000')
    """
    tightest: dict[Unit, LimitState] = {}
    for state in left:
        known = tightest.get(state.unit)
        if known is None or _room(state) < _room(known):
            tightest[state.unit] = state
    headers: list[tuple[str, str]] = []
    for unit, cap, remaining, reset_seconds in tightest.values():
        limit, rest, reset = _NAMES[unit]
        headers += ((limit, str(cap)), (rest, str(remaining)))
        if reset_seconds is not None:
            headers.append((reset, duration(reset_seconds)))
    return tuple(headers)


def _room(state: LimitState) -> tuple[int, float]:
    return state.remaining, -(state.reset_seconds or 0.0)


def exceeded_headers(error: BrokerError) -> Headers:
    """The same of the limit that a call would have passed; nothing for another error."""
    return limit_headers((error.left,)) if isinstance(error, LimitExceededError) else ()


def duration(seconds: float) -> str:
    """As OpenAI writes one; what is less than a millisecond is a whole one.

    >>> [duration(each) for each in (0.0004, 0.012, 8.64, 360, 90_061)]
    ['1ms', '12ms', '8.64s', '6m0s', '25h1m1s']
    """
    milliseconds = max(1, round(seconds * MS_PER_SECOND))
    if milliseconds < MS_PER_SECOND:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, _MS_PER_MINUTE)
    hours, minutes = divmod(minutes, 60)
    tail = f"{rest / MS_PER_SECOND:g}s"
    return f"{hours}h{minutes}m{tail}" if hours else f"{minutes}m{tail}" if minutes else tail
