"""Whether the writer is at work: it is asked twice a second.

Knows: beats. Must not know: what is asked, and what follows from silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

STALL_SECONDS = 10.0
QUIET_SECONDS = 2.0
BEAT_SECONDS = 0.5


class Heartbeat:
    """Beats are counted, not time: a machine that slept has missed none. Who never answers hangs in its disk,
    or was stopped: `stalled` is told for how many seconds, and told again.
    """

    def __init__(self, ping: Callable[[], None], stalled: Callable[[float], None]) -> None:
        self._ping = ping
        self._stalled = stalled
        self._missed = 0

    @property
    def quiet(self) -> bool:
        """Whether there was no answer for longer than is usual."""
        return self._missed * BEAT_SECONDS >= QUIET_SECONDS

    def start(self) -> None:
        """From now on, on the running event loop."""
        self._beat()

    def heard(self) -> None:
        """There was an answer."""
        self._missed = 0

    def stop(self) -> None:
        """No beat follows. Only after `start`."""
        self._next.cancel()

    def _beat(self) -> None:
        if self._missed * BEAT_SECONDS >= STALL_SECONDS:
            self._stalled(STALL_SECONDS)
        if self._missed == 0:
            self._ping()
        self._missed += 1
        self._next = asyncio.get_running_loop().call_later(BEAT_SECONDS, self._beat)
