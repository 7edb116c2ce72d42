"""A circuit breaker: after some failures in a row nobody asks any more, until a probe is answered.

Knows: counting. Must not know: what failed. Pure; used from one event loop.
"""

from __future__ import annotations

FAILURES = 5


class Breaker:
    """Closed, calls go through; open, they are refused at once and only the probe asks (half-open).

    >>> breaker = Breaker(failures=2)
    >>> breaker.failed(); breaker.open
    False
    >>> breaker.failed(); breaker.open
    True
    >>> breaker.succeeded(); breaker.open
    False
    """

    def __init__(self, failures: int = FAILURES) -> None:
        self._left = self._failures = failures

    @property
    def open(self) -> bool:
        """Whether to refuse without asking."""
        return self._left <= 0

    def failed(self) -> None:
        """One more failure in a row."""
        self._left -= 1

    def succeeded(self) -> None:
        """An answer came: the row is broken, and the breaker closed."""
        self._left = self._failures
