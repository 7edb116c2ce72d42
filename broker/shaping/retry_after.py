"""How long upstream asks us to wait.

Knows: Retry-After. Must not know: who waits, and for what.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime

_NS = 1e9
_DAY = 86_400


def seconds_of(value: str | None, now_ns: int) -> float | None:
    """Retry-After (RFC 9110, 10.2.3): seconds, also fractional as OpenAI sends, or an HTTP date. None for
    everything else, a day or more included.

    >>> seconds_of("1.5", 0), seconds_of("Thu, 01 Jan 1970 00:01:00 GMT", 0), seconds_of("soon", 0)
    (1.5, 60.0, None)
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - now_ns / _NS
        except ValueError:
            return None
    return seconds if 0 <= seconds < _DAY else None  # NaN falls out, too
