"""One HTTP/1.1 connection (RFC 9112) that carries one exchange at a time, over llhttp.

Knows: messages as bytes, and when a connection may carry another exchange. Must not know: OpenAI, keys,
pools, retries. A general client costs 150 µs of CPU a call for cookies, redirects and hooks that a broker
must not have; this one costs a third.
"""

from __future__ import annotations

import asyncio
import select
from enum import Enum

import httptools

from broker.adapters.openai.framing import FIRST_FINAL, Framing, UnreadableError
from broker.adapters.openai.outgoing import OutgoingRequest

_HIGH_WATER = 256 * 1024


class ConnectionFault(Enum):
    """Why an exchange came to no good end, in words that follow `The upstream`."""

    ENDED = "ended the connection before its answer was whole"
    SILENT = "sent nothing more within its time"
    UNREADABLE = "answered with what is no HTTP/1.1 message within the limits"


class BrokenError(Exception):
    """The connection ended, fell silent or left the grammar before the answer was whole."""

    def __init__(self, fault: ConnectionFault) -> None:
        super().__init__(fault.value)
        self.fault = fault


class Connection(asyncio.Protocol):
    """Use: `await send(…)`, then `read` until it returns nothing; again while `reusable`.

    `status` and `headers` (names in lower case) are those of the last answer. Bytes that nobody asked for,
    between two exchanges or behind an answer, end the connection: they could be taken for the next answer.
    """

    def __init__(self, read_seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._read_seconds = read_seconds
        self._chunks: list[bytes] = []
        self.on_body = self._chunks.append  # called with each piece of a body, of which a stream has hundreds
        self._parser = httptools.HttpResponseParser(self)
        self._incoming = select.poll()
        self._waiter: asyncio.Future[None] | None = None
        self._until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._fault: ConnectionFault | None = None
        self._paused = False
        self._rest()

    @property
    def reusable(self) -> bool:
        """Whether the last answer came whole and another exchange may follow it."""
        return self._whole and self._keep_alive and not (self._fault or self._paused)

    @property
    def quiet(self) -> bool:
        """Whether nothing has come since, no end of the connection either, also where the event loop has not
        read it yet: what is sent now does not meet a connection that upstream has closed before.
        """
        return not (self._transport.is_closing() or self._incoming.poll(0))

    @property
    def drained(self) -> bool:
        """Whether the last answer came whole and all of it was read."""
        return self._whole and not self._chunks

    @property
    def left(self) -> bool:
        """Whether the other side ended the connection before a byte of an answer came."""
        return self._left

    @property
    def keep_seconds(self) -> float | None:
        """How long upstream says that it keeps the connection while nothing is sent on it."""
        return self._framing.keep_seconds

    def now(self) -> float:
        """The seconds of its event loop."""
        return self._loop.time()

    async def send(self, request: OutgoingRequest) -> None:
        """Writes one request; returns when the head of its answer is there, which may take `read_seconds` in
        all. Raises BrokenError.
        """
        self._rest()
        self._whole = False
        request.write_to(self._transport)
        until = self.now() + self._read_seconds
        while not self._head:
            await self._wait(until)
        request.answered()

    async def read(self) -> bytes:
        """What has come of the body, waiting if it must; empty at its end. Raises BrokenError."""
        while not self._chunks and not self._whole:
            await self._wait(self.now() + self._read_seconds)
        taken = b"".join(self._chunks)
        self._chunks.clear()
        self._buffered = 0
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        return taken

    def close(self) -> None:
        """Ends the connection at once, whatever it carries."""
        self._fail(ConnectionFault.ENDED)

    def _rest(self) -> None:
        """The state between two exchanges."""
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self._fields: list[tuple[bytes, bytes]] = []
        self._framing = Framing()
        self._left = False
        self._head = False
        self._buffered = 0
        self._paused = False
        self._whole = True
        self._keep_alive = False
        self._chunks.clear()

    async def _wait(self, until: float) -> None:
        """Until the other side did something, or that time of the loop has come."""
        if self._fault is not None:
            raise BrokenError(self._fault)
        self._until = until
        if self._timer is None:  # one for many waits, of which each may last longer than the one before
            self._timer = self._loop.call_at(until, self._late)
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _late(self) -> None:
        """The time of the first wait since this was asked for is over, which may not be that of the last."""
        self._timer = None
        if self._waiter is None:
            return
        if self._until <= self.now():
            self._fail(ConnectionFault.SILENT)
        else:
            self._timer = self._loop.call_at(self._until, self._late)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, fault: ConnectionFault) -> None:
        """Ends the connection; the first fault is the one that is told."""
        self._fault = self._fault or fault
        self._transport.abort()
        self._wake()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._incoming.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        if self._whole:
            self.close()
            return
        before = len(self._chunks)
        self._framing.arrived(len(data))
        try:
            self._parser.feed_data(data)
            self._delivered(sum(map(len, self._chunks[before:])))
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, UnreadableError):
            self._fail(ConnectionFault.UNREADABLE)
        self._wake()

    def _delivered(self, body: int) -> None:
        """So much of the body has come. Upstream is not read from while much of it waits."""
        self._framing.judge(body, head_came=self._head)
        self._buffered += body
        if self._buffered > _HIGH_WATER and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        ends_body = self._head and not self._framing.delimited
        self._left = not (self._fault or self._framing.began)
        self._whole = self._whole or (ends_body and exc is None and not self._fault)
        self._fault = self._fault or ConnectionFault.ENDED
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake()

    # httptools.HttpResponseParser: what is raised in these ends the connection as UNREADABLE

    def on_message_begin(self) -> None:
        if self._whole:
            raise UnreadableError  # bytes behind the answer

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head:  # a trailer is never a header (RFC 9110, 6.5.1)
            self._framing.trailer()
        else:
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self.headers = self._framing.head(self.status, self._parser.get_http_version(), self._fields)
        self._fields = []
        self._head = self.status >= FIRST_FINAL

    def on_message_complete(self) -> None:
        if self._head:  # and not an interim answer (1xx), which the final one follows
            self._whole, self._keep_alive = True, self._parser.should_keep_alive()
