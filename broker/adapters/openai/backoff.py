"""When to try again and how long to wait: exponential back-off with full jitter, or what upstream asks for.

Knows: attempts, statuses and seconds. Must not know: what is being sent.
"""

from __future__ import annotations

from dataclasses import dataclass

from broker.ports import Clock

TOO_MANY_REQUESTS = 429
_PASSING = frozenset({TOO_MANY_REQUESTS, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """At most `attempts` sends; pauses double from `base_seconds` to `cap_seconds`, drawn uniformly from
    zero (full jitter). A wait that upstream asks for is kept to, up to `longest_seconds`; a longer one ends
    the attempts.
    """

    attempts: int = 4
    base_seconds: float = 0.25
    cap_seconds: float = 8.0
    longest_seconds: float = 20.0

    def covers(self, status: int) -> bool:
        """Whether upstream may answer the same request differently in a moment."""
        return status in _PASSING


def pause(policy: RetryPolicy, attempt: int, asked: float | None, clock: Clock) -> float | None:
    """Seconds to wait after attempt number `attempt` (from 1), of which upstream `asked` for some. None: for
    longer than a caller should be held.
    """
    if asked is not None and asked > policy.longest_seconds:
        return None
    jitter = int.from_bytes(clock.random_bytes(4)) / 2**32
    window = min(policy.cap_seconds, policy.base_seconds * float(2 ** (attempt - 1)))
    if asked is None:
        return window * jitter
    # A crowd that was told the same second must not come back in the same millisecond.
    return asked + min(policy.base_seconds, window) * jitter
