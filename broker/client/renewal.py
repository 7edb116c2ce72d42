"""Whatever is made of a service's PEM files, made anew when they are replaced.

Knows: when files change. Must not know: what is made of them.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from broker.client.credentials import Credentials

T = TypeVar("T")


class Renewed(Generic[T]):
    """The latest thing that `make` could make of the files. Files that are being replaced, and do not fit
    together for a moment, leave the one before in use. Safe for threads.

    Raises what `make` raises where not even the first one can be made.
    """

    def __init__(self, credentials: Credentials, make: Callable[[], T]) -> None:
        self._credentials = credentials
        self._make = make
        self._lock = threading.Lock()
        self._stamp = credentials.stamp()
        self._current = make()
        self._before: list[T] = []

    def current(self) -> T:
        """Three looks at file dates (about 5 µs) where nothing has changed."""
        if self._credentials.stamp() != self._stamp:
            with self._lock:
                self._renew()
        return self._current

    def outdated(self) -> list[T]:
        """Hands over, once each, what was replaced and then replaced again: what began with it is over."""
        with self._lock:
            old, self._before = self._before[:-1], self._before[-1:]
        return old

    def all(self) -> list[T]:
        """Everything that was not handed over, to close it."""
        return [*self._before, self._current]

    def _renew(self) -> None:
        stamp = self._credentials.stamp()
        if stamp == self._stamp:
            return
        try:
            made = self._make()
        except (OSError, ssl.SSLError, ValueError):  # not whole yet: the next call looks again
            return
        if stamp == self._credentials.stamp():
            self._before.append(self._current)
            self._stamp, self._current = stamp, made
