"""One request and its reply, as ASGI sees them, written in as few steps as HTTP/1.1 takes (RFC 9112).

Knows: how a reply is framed. Must not know: TLS, routes, what is replied. uvicorn's own `send`, which this
replaces, asks two patterns about each header and ASGI's every rule about each part of a stream.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from broker.listeners.https.coalescing import CoalescingTransport

_PRINTABLE = bytes([9, *range(32, 127), *range(128, 256)])
_BODILESS = frozenset({204, 304})
_LINE_END = b"\r\n"
STALLED_SECONDS = 60.0
"""So long a caller may take nothing of a reply."""


class Exchange(RequestResponseCycle):
    """uvicorn's account of a request, with a `send` of our own. What it is given of a length is trusted to be
    a number, and names of headers to be names in lower case: ours, or those that llhttp has let through.
    """

    transport: CoalescingTransport  # type: ignore[assignment]  # a transport in all that uvicorn asks of it
    _left: int | None = None
    """Bytes of the body that are still to be written, where its length was told."""
    _head = b""
    """What waits for the first part of a body of that length: they go out together."""

    async def send(self, message: Any) -> None:
        """Writes one part of the reply, unless the caller has left. Raises RuntimeError for what is none."""
        if self.flow.write_paused and not self.disconnected:
            await self._drained()
        if self.disconnected:
            return
        if message["type"] == "http.response.body" and self.response_started and not self.response_complete:
            self._go_on(message.get("body", b""), more=message.get("more_body", False))
        elif message["type"] == "http.response.start" and not self.response_started:
            self._begin(message["status"], message["headers"])
        else:
            raise RuntimeError(f"{message['type']} does not come now")

    def answer(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Writes a whole reply, here and now; `headers` tell its length."""
        self._begin(status, headers)
        self._go_on(body, more=False)

    async def _drained(self) -> None:
        """What was written is taken. Whoever takes nothing for so long has left: what its call holds would
        otherwise be held as long as it likes.
        """
        try:
            async with asyncio.timeout(STALLED_SECONDS):
                await self.flow.drain()
        except TimeoutError:
            self.transport.abort()
            await self.flow.drain()  # until the connection is lost, which the protocol tells

    def _begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        named = dict(headers)
        if b"content-length" in named:
            self._left = int(named[b"content-length"])
        elif self.scope["http_version"] != "1.0" and self._has_body(status):
            self.chunked_encoding = True  # one of HTTP/1.0 without a length ends with its connection
            headers = [*headers, (b"transfer-encoding", b"chunked")]
        self.keep_alive = self.keep_alive and named.get(b"connection") != b"close"
        if not self.keep_alive and b"connection" not in named:
            headers = [*headers, (b"connection", b"close")]
        head = b"".join([STATUS_LINE[status], *[b"%b: %b\r\n" % field for field in headers]])
        if head.translate(None, _PRINTABLE) != _LINE_END * (len(headers) + 1):
            raise RuntimeError("a header of the reply holds a control character")
        if self._left is None:
            self.transport.write(head + _LINE_END)
        else:
            self._head = head + _LINE_END

    def _has_body(self, status: int) -> bool:
        return self.scope["method"] != "HEAD" and status not in _BODILESS

    def _go_on(self, body: bytes, *, more: bool) -> None:
        if self.chunked_encoding:
            part = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            part = part if more else part + b"0\r\n\r\n"
        elif self.scope["method"] == "HEAD":
            part = b""
        else:
            self._count(len(body), more=more)
            part = body
        part, self._head = self._head + part, b""
        if more:
            self.transport.write(part)
        else:
            self.transport.write_last(part)
            self._complete()

    def _count(self, size: int, *, more: bool) -> None:
        """A body that is not of its length would be taken for the next reply, or waited for."""
        if self._left is None:
            return
        self._left -= size
        if self._left < 0 or (self._left and not more):
            raise RuntimeError("the body is not of the length that was told")

    def _complete(self) -> None:
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
