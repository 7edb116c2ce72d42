"""Which ping of a ledger is answered: they are answered in order, each with the size of the log by then.

Knows: numbers. Must not know: sockets.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple


class _WaitingPing(NamedTuple):
    ping: int
    size: asyncio.Future[int]


class Pings:
    """Of one ledger, on one event loop. `send` sends one."""

    def __init__(self, send: Callable[[], None]) -> None:
        self._send = send
        self._sent = self._answered = 0
        self._waiting: deque[_WaitingPing] = deque()

    def ping(self) -> None:
        """Sends one that nobody waits for."""
        self._sent += 1
        self._send()

    def size(self) -> asyncio.Future[int]:
        """What a ping that is sent now is answered: how many entries are durable, whoever appended them."""
        self.ping()
        size: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(_WaitingPing(self._sent, size))
        return size

    def answered(self, size: int) -> None:
        """The next one is."""
        self._answered += 1
        while self._waiting and self._waiting[0].ping <= self._answered:
            waiting = self._waiting.popleft().size
            if not waiting.done():
                waiting.set_result(size)

    def refuse(self, error: Exception) -> None:
        """No further one will be answered."""
        while self._waiting:
            waiting = self._waiting.popleft().size
            if not waiting.done():
                waiting.set_exception(error)
