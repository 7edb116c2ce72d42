"""Connections to the one upstream origin, kept for the next call.

Knows: TCP, TLS, how many connections there may be and how long one may rest. Must not know: OpenAI, keys,
retries. No proxy and no .netrc of the environment is trusted; redirects are not followed.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Awaitable
from dataclasses import dataclass
from urllib.parse import urlsplit

from broker.adapters.openai.connection import BrokenError, Connection
from broker.adapters.openai.outgoing import OutgoingRequest
from broker.adapters.openai.slots import ConnectionSlots

_PORTS = {"http": 80, "https": 443}
_MARGIN_SECONDS = 1.0
"""How long before upstream would, a connection that rests is given up."""


class UnreachableError(Exception):
    """No connection could be had: nothing was sent."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds: to connect, to wait for the next bytes, to wait for a free connection, and to keep one that
    rests (less than servers do, so that a request seldom meets one that is just being closed).
    """

    connect: float = 5.0
    read: float = 600.0
    pool: float = 5.0
    rest: float = 30.0


class UpstreamResponse:
    """An answer whose body may still be arriving. `close` it in any case."""

    def __init__(self, pool: ConnectionPool, connection: Connection) -> None:
        self._pool = pool
        self._connection: Connection | None = connection
        self.status = connection.status
        self.headers = tuple(connection.headers)
        self._first = dict(reversed(self.headers))

    def header(self, name: str) -> str | None:
        """The first value of a header, by its lower-case name."""
        return self._first.get(name)

    @property
    def ended(self) -> bool:
        """Whether its body has been read to its end."""
        return self._connection is None or self._connection.drained

    def read(self) -> Awaitable[bytes]:
        """The next bytes of the body, empty at its end. Raises BrokenError."""
        return self._connection.read() if self._connection is not None else _nothing()

    def close(self) -> None:
        """Gives the connection back, or ends it where the answer is not whole. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.take_back(connection)


async def _nothing() -> bytes:
    return b""


class ConnectionPool:
    """At most `connections` to the origin of `base_url`. Use it from one event loop."""

    def __init__(self, base_url: str, connections: int, deadlines: Deadlines = Deadlines()) -> None:
        origin = urlsplit(base_url)
        self._host = origin.hostname or ""
        self._port = origin.port or _PORTS[origin.scheme]
        self._tls = ssl.create_default_context() if origin.scheme == "https" else None
        self._deadlines = deadlines
        self._places = ConnectionSlots(connections)
        self._resting: deque[tuple[Connection, float]] = deque()

    async def send(self, request: OutgoingRequest) -> UpstreamResponse:
        """Sends one request; returns at the head of its answer. Where a connection that had rested ends
        without a byte of an answer, an idempotent request is sent again, once and on a connection of its own.
        Another one is not: upstream may have carried it out (RFC 9110, 9.2.2).

        Raises UnreachableError where nothing was sent, BrokenError where something may have been.
        """
        if not self._places.take():
            await self._wait_for_place()
        connection = None
        try:
            connection = self._rested()
            if connection is not None:
                try:
                    await connection.send(request)
                    return UpstreamResponse(self, connection)
                except BrokenError:
                    if not (connection.left and request.idempotent):
                        raise
            connection = await self._connect()
            await connection.send(request)
            return UpstreamResponse(self, connection)
        except BaseException:
            self._discard(connection)
            raise

    def take_back(self, connection: Connection) -> None:
        """For Answer: the exchange on this connection is over."""
        if not connection.reusable:
            self._discard(connection)
            return
        now, rest = connection.now(), self._deadlines.rest
        if connection.keep_seconds is not None:
            rest = min(rest, connection.keep_seconds - _MARGIN_SECONDS)
        self._resting.append((connection, now + rest))
        self._places.give()
        while self._resting and self._resting[0][1] <= now:
            self._resting.popleft()[0].close()

    async def aclose(self) -> None:
        """Ends the connections that rest; those in use end with their answers."""
        while self._resting:
            self._resting.pop()[0].close()

    async def _wait_for_place(self) -> None:
        try:
            await self._places.wait(self._deadlines.pool)
        except TimeoutError:
            raise UnreachableError from None

    def _rested(self) -> Connection | None:
        """The connection that was used last, unless upstream closed it or it has rested too long. It is
        looked at now, so that a POST seldom meets its end: it could not be sent again.
        """
        while self._resting:
            connection, until = self._resting.pop()
            if connection.now() < until and connection.reusable and connection.quiet:
                return connection
            connection.close()
        return None

    async def _connect(self) -> Connection:
        try:
            async with asyncio.timeout(self._deadlines.connect):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: Connection(self._deadlines.read), self._host, self._port, ssl=self._tls
                )
                return connection
        except OSError:  # a TimeoutError and an ssl.SSLError are OSErrors
            raise UnreachableError from None

    def _discard(self, connection: Connection | None) -> None:
        if connection is not None:
            connection.close()
        self._places.give()
