"""uvicorn's HTTP protocol with what a zero-trust listener needs: the peer's certificate, and bounds.

Knows: one connection's bytes and timers. Must not know: routes. Bounds (deploy/README.md, Hardening): headers
of 16 KiB and 64 fields, 5 s for the headers, 60 s idle.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from broker.errors import BrokerError, Kind
from broker.listeners.https import errors
from broker.listeners.https.coalescing import CoalescingTransport
from broker.listeners.https.exchange import Exchange
from broker.listeners.https.gate import RequestGate
from broker.listeners.https.handshake import ServerHandshake

MAX_HEADER_BYTES = 16 * 1024
MAX_HEADER_FIELDS = 64
HEADER_SECONDS = 5.0
FAREWELL_SECONDS = 0.5
FIRST_REQUEST_SECONDS = 1.0
_UNREADABLE = errors.body(
    BrokerError(
        Kind.BAD_REQUEST,
        "This is not HTTP/1.1 with headers within 16 KiB and 64 fields.",
        remedy="Send fewer or shorter headers, and one of content-length and transfer-encoding.",
    )
)


def _already() -> None:
    """The connection has ended."""


class TooManyHeadersError(ValueError):
    """The request's headers pass a bound; the connection ends with 400."""


class DisconnectWatch:
    """Whether the caller of a connection is still there. The `waiting` task, if any, is cancelled when it is
    not: nobody would hear the answer.
    """

    __slots__ = ("break_off", "gone", "serving", "waiting")

    def __init__(self, break_off: Callable[[], None]) -> None:
        self.gone = False
        self.serving: asyncio.Task[Any] | None = None
        """What works on the connection's request."""
        self.waiting: asyncio.Task[Any] | None = None
        self.break_off = break_off
        """Ends the connection after what was written: a reply that is not whole must not look whole."""

    def leave(self) -> None:
        self.gone = True
        if self.waiting is not None:
            self.waiting.cancel()


class PeerProtocol(HttpToolsProtocol):
    """Puts into `scope["state"]`: `peer_chain`, what the client has sent of certificates (DER, leaf first),
    `disconnect`, and `whole` once the request's body has come to its end.
    """

    def __init__(self, *args: Any, gate: RequestGate | None = None, **kwargs: Any) -> None:
        """`gate`: where requests wait for their turn; None: nowhere."""
        super().__init__(*args, **kwargs)
        self._gate = gate
        self._header_bytes = 0
        self._in_head = True
        self._asked = self._stopping = False
        self._header_timer: asyncio.TimerHandle | None = None
        self._disconnect = DisconnectWatch(self._break_off)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._coalescing = CoalescingTransport(transport, self.loop)
        super().connection_made(self._coalescing)  # type: ignore[arg-type]  # a transport in all that is asked of it
        tls = transport.get_extra_info("ssl_object")
        chain = tls.presented_chain() if isinstance(tls, ServerHandshake) else ()
        self._sender = self._gate.sender(chain) if self._gate is not None else None
        self.app_state = {"peer_chain": chain, "disconnect": self._disconnect}
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers_came()
        self._disconnect.leave()
        super().connection_lost(exc)
        # else the two would keep each other, and the TLS state with them
        self._disconnect.break_off = _already

    def shutdown(self) -> None:
        """The server stops: an idle connection ends now, and one that was just let in has a moment for its
        first request, which is its last. A peer that does not answer the TLS farewell would otherwise hold
        the process up for half a minute.
        """
        if not self._asked and not self._stopping:
            self._stopping = True
            self.loop.call_later(FIRST_REQUEST_SECONDS, self.shutdown)
            return
        super().shutdown()
        if self.transport.is_closing():
            self.loop.call_later(FAREWELL_SECONDS, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head and self._header_timer is None:
            self._await_headers()

    def on_message_begin(self) -> None:
        self._header_bytes = 0
        self._in_head = self._asked = True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._header_bytes += len(url)
        if self._header_bytes > MAX_HEADER_BYTES:
            raise TooManyHeadersError
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MAX_HEADER_BYTES:
            raise TooManyHeadersError
        if not self._in_head:  # a trailer: counted, and never a header (RFC 9110, 6.5.1)
            return
        if len(self.headers) >= MAX_HEADER_FIELDS:
            raise TooManyHeadersError
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The request is begun, or waits for the reply to the one before it (RFC 9112, 9.3.2)."""
        self._in_head = False
        self._headers_came()
        version = self.parser.get_http_version()
        url = httptools.parse_url(self.url)
        self.scope["http_version"] = version
        self.scope["method"] = self.parser.get_method().decode("ascii")
        self.scope["path"] = unquote(url.path.decode("ascii"))
        self.scope["raw_path"] = url.path
        self.scope["query_string"] = url.query or b""
        before, self.cycle = self.cycle, self._exchange(version)
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        start = partial(self._start, cycle, app)
        if self._gate is None or self._sender is None or not isinstance(cycle, Exchange):
            start()
        else:
            self._gate.enter(self._sender, cycle, start)

    def _start(self, cycle: RequestResponseCycle, app: Any) -> asyncio.Task[None]:
        task = self._disconnect.serving = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)
        return task

    def _exchange(self, version: str) -> Exchange:
        return Exchange(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=[],
            message_event=asyncio.Event(),
            expect_100_continue=dict(self.headers).get(b"expect", b"").lower() == b"100-continue",
            keep_alive=version != "1.0" and not self._stopping and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )

    def on_message_complete(self) -> None:
        self.scope["state"]["whole"] = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words; ours are OpenAI's shape
        """Answers what no request could be read from, and ends the connection."""
        head = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
        self.transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(_UNREADABLE), _UNREADABLE))
        self.transport.close()

    def _break_off(self) -> None:
        """A reply in chunks lacks its last; one of HTTP/1.0 ends with its connection, whole or not."""
        if self.scope["http_version"] == "1.0":
            self._coalescing.cut()
        else:
            self._coalescing.close()

    def _await_headers(self) -> None:
        self._header_timer = self.loop.call_later(HEADER_SECONDS, self._give_up)

    def _headers_came(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _give_up(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.close()
