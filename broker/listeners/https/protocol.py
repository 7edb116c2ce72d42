"""uvicorn's HTTP protocol with what a zero-trust door needs: the peer's certificate, and bounds.

Knows: one connection's bytes and timers. Must not know: routes. Bounds (DESIGN.md, hardening): headers of
16 KiB and 64 fields, 5 s for the headers, 60 s idle.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from broker.errors import BrokerError, Kind
from broker.listeners.https import errors
from broker.listeners.https.handshake import ServerHandshake
from broker.listeners.https.unchunked import unchunked

MAX_HEADER_BYTES = 16 * 1024
MAX_HEADER_FIELDS = 64
HEADER_SECONDS = 5.0
FAREWELL_SECONDS = 0.5
_UNREADABLE = errors.body(
    BrokerError(
        Kind.BAD_REQUEST,
        "This is not HTTP/1.1 with headers within 16 KiB and 64 fields.",
        remedy="Send fewer or shorter headers, and one of content-length and transfer-encoding.",
    )
)


class TooManyHeadersError(ValueError):
    """The request's headers pass a bound; the connection ends with 400."""


class Presence:
    """Whether the caller of a connection is still there. The `waiting` task, if any, is cancelled when it is
    not: nobody would hear the answer.
    """

    __slots__ = ("break_off", "gone", "waiting")

    def __init__(self, break_off: Callable[[], None]) -> None:
        self.gone = False
        self.waiting: asyncio.Task[Any] | None = None
        self.break_off = break_off
        """Ends the connection after what was written: a reply that is not whole must not look whole."""

    def leave(self) -> None:
        self.gone = True
        if self.waiting is not None:
            self.waiting.cancel()


class Gathering:
    """A transport that sends what one turn of the loop writes together: uvicorn writes the head and the body
    of a reply apart, which would make two TLS records, two system calls and two wake-ups of the caller.
    Whatever else is asked of it, the transport itself does.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._gathered: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Sent at the end of this turn, or with `flush`."""
        if not self._gathered:
            self._loop.call_soon(self.flush)
        self._gathered.append(data)

    def close(self) -> None:
        """After what was written."""
        self.flush()
        self._transport.close()

    def flush(self) -> None:
        """Sends what was written. Idempotent."""
        gathered, self._gathered = self._gathered, []
        if gathered:
            self._transport.write(b"".join(gathered))


class PeerProtocol(HttpToolsProtocol):
    """Puts into `scope["state"]`: `peer_chain`, what the client has sent of certificates (DER, leaf first),
    `presence`, and `whole` once the request's body has come to its end.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._header_bytes = 0
        self._in_body = False
        self._header_timer: asyncio.TimerHandle | None = None
        self._presence = Presence(self._break_off)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._gathering = Gathering(transport, self.loop)
        super().connection_made(self._gathering)  # type: ignore[arg-type]  # a transport in all that is asked of it
        tls = transport.get_extra_info("ssl_object")
        chain = tls.presented_chain() if isinstance(tls, ServerHandshake) else ()
        self.app_state = {"peer_chain": chain, "presence": self._presence}
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers_came()
        self._presence.leave()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server stops: an idle connection ends now. A peer that does not answer the TLS farewell
        would otherwise hold the process up for half a minute.
        """
        super().shutdown()
        if self.transport.is_closing():
            self.loop.call_later(FAREWELL_SECONDS, self.transport.abort)

    def on_message_begin(self) -> None:
        self._header_bytes = 0
        self._in_body = False
        self._await_headers()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        if self._in_body:  # a trailer: counted, and never a header (RFC 9110, 6.5.1)
            return
        if len(self.headers) >= MAX_HEADER_FIELDS:
            raise TooManyHeadersError
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_body = True
        self._headers_came()
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        chunks = cycle.scope["http_version"] != "1.0"
        super()._start_asgi_task(cycle, app if chunks else unchunked(cycle, app))

    def on_response_complete(self) -> None:
        self._gathering.flush()
        super().on_response_complete()

    def on_message_complete(self) -> None:
        self.scope["state"]["whole"] = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words; ours are OpenAI's shape
        """Answers what no request could be read from, and ends the connection."""
        head = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
        self.transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(_UNREADABLE), _UNREADABLE))
        self.transport.close()

    def _break_off(self) -> None:
        self._gathering.close()

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            raise TooManyHeadersError

    def _await_headers(self) -> None:
        if self._header_timer is None:
            self._header_timer = self.loop.call_later(HEADER_SECONDS, self._give_up)

    def _headers_came(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _give_up(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.close()
