"""When to try again and how long to wait: exponential back-off with full jitter, or Retry-After.

Knows: attempts and seconds. Must not know: what is being sent.
"""

from __future__ import annotations

from dataclasses import dataclass

from broker.ports import Clock
from broker.shaping.retry_after import seconds_of

TOO_MANY_REQUESTS = 429
_SERVER_ERRORS = 500


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """At most `attempts` sends; pauses double from `base_seconds` to `cap_seconds`, drawn uniformly from
    zero (full jitter). A Retry-After up to `longest_seconds` is kept to; a longer one ends the attempts.
    """

    attempts: int = 4
    base_seconds: float = 0.25
    cap_seconds: float = 8.0
    longest_seconds: float = 20.0

    def covers(self, status: int) -> bool:
        return status == TOO_MANY_REQUESTS or status >= _SERVER_ERRORS


def pause(policy: RetryPolicy, attempt: int, retry_after: str | None, clock: Clock) -> float:
    """Seconds to wait after attempt number `attempt` (from 1)."""
    asked = seconds_of(retry_after, clock.now_ns())
    jitter = int.from_bytes(clock.random_bytes(4)) / 2**32
    window = min(policy.cap_seconds, policy.base_seconds * float(2 ** (attempt - 1)))
    if asked is None:
        return window * jitter
    # A crowd that was told the same second must not come back in the same millisecond.
    return asked + min(policy.base_seconds, window) * jitter


def too_long(policy: RetryPolicy, retry_after: str | None, clock: Clock) -> bool:
    """Whether upstream asks for a longer wait than a caller should be held for."""
    asked = seconds_of(retry_after, clock.now_ns())
    return asked is not None and asked > policy.longest_seconds
