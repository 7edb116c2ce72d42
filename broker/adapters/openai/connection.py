"""One HTTP/1.1 connection (RFC 9112) that carries one exchange at a time, over llhttp.

Knows: messages as bytes, and when a connection may carry another exchange. Must not know: OpenAI, keys,
pools, retries. A general client costs 150 µs of CPU a call for cookies, redirects and hooks that a broker
must not have; this one costs a third.
"""

from __future__ import annotations

import asyncio

import httptools

MAX_HEAD_BYTES = 64 * 1024
_HIGH_WATER = 256 * 1024
_FIRST_FINAL = 200
_DELIMITERS = frozenset({"content-length", "transfer-encoding"})


class BrokenError(Exception):
    """The connection ended, fell silent or left the grammar before the answer was whole."""


class Message:
    """A request's bytes, which hold a key: an exception's frames keep this object, which shows nothing."""

    __slots__ = ("_content",)

    def __init__(self, content: bytes) -> None:
        self._content = content

    def write_to(self, transport: asyncio.Transport) -> None:
        transport.write(self._content)

    def __repr__(self) -> str:
        return "Message(…)"


class Connection(asyncio.Protocol):
    """Use: `await send(…)`, then `read` until it returns nothing; again while `reusable`.

    `status` and `headers` (names in lower case) are those of the last answer. Bytes that nobody asked for,
    between two exchanges or behind an answer, end the connection: they could be taken for the next answer.
    """

    def __init__(self, read_seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._read_seconds = read_seconds
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._broken = False
        self._chunks: list[bytes] = []
        self._paused = False
        self._rest()

    @property
    def reusable(self) -> bool:
        """Whether the last answer came whole and another exchange may follow it."""
        return self._whole and self._keep_alive and not (self._broken or self._paused)

    @property
    def left(self) -> bool:
        """Whether the other side ended the connection before a byte of an answer came."""
        return self._left

    def now(self) -> float:
        """The seconds of its event loop."""
        return self._loop.time()

    async def send(self, request: Message) -> None:
        """Writes one request; returns when the head of its answer is there. Raises BrokenError."""
        self._rest()
        self._whole = False
        request.write_to(self._transport)
        while not self._head:
            await self._wait()

    async def read(self) -> bytes:
        """What has come of the body, waiting if it must; empty at its end. Raises BrokenError."""
        while not self._chunks and not self._whole:
            await self._wait()
        taken, self._chunks, self._buffered = b"".join(self._chunks), [], 0
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        return taken

    def close(self) -> None:
        """Ends the connection at once, whatever it carries."""
        self._broken = True
        self._transport.abort()

    def _rest(self) -> None:
        """The state between two exchanges."""
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self._head_bytes = 0
        self._left = False
        self._head = False
        self._buffered = 0
        self._paused = False
        self._whole = True
        self._keep_alive = False
        self._chunks = []

    async def _wait(self) -> None:
        """Until the other side did something, at most `read_seconds`."""
        if self._broken:
            raise BrokenError
        self._waiter = self._loop.create_future()
        timer = self._loop.call_later(self._read_seconds, self._break)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _break(self) -> None:
        self.close()
        self._wake()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._whole:
            self.close()
            return
        if not self._head:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.close()
        if not self._head and self._head_bytes > MAX_HEAD_BYTES:
            self.close()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        ends_body = self._head and not any(name in _DELIMITERS for name, _ in self.headers)
        self._left = not (self._broken or self._head_bytes)
        self._whole = self._whole or (ends_body and exc is None and not self._broken)
        self._broken = True
        self._wake()

    # httptools.HttpResponseParser

    def on_message_begin(self) -> None:
        if self._whole:
            raise BrokenError  # bytes behind the answer

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._head = self.status >= _FIRST_FINAL

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)
        self._buffered += len(body)
        if self._buffered > _HIGH_WATER and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if self._head:
            self._whole, self._keep_alive = True, self._parser.should_keep_alive()
        else:
            self.headers = []  # an interim answer (1xx): the final one follows
