"""Where requests of the HTTPS listener wait for their turn, before anything of them is read but the head.

Knows: connections, their certificates, requests and how one is refused in HTTP. Must not know: whose turn it
is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from broker.errors import BrokerError
from broker.listeners.https import errors
from broker.listeners.https.exchange import Exchange
from broker.listeners.https.routes import ROUTES, Open
from broker.listeners.overload import BegunRequest, LoadShedder, Sender
from broker.model.subject import Peer

TRANSPORT = "https"
_OPEN = frozenset(route.path.encode() for route in ROUTES if isinstance(route.authorization, Open))
_OAUTH = b"/oauth/"
_SMALL_BYTES = 64 * 1024
_LONGEST_LENGTH = 18  # digits


@dataclass(frozen=True, slots=True)
class RequestGate:
    """One for all connections of a listener."""

    shedder: LoadShedder
    read_peer: Callable[[tuple[bytes, ...]], Peer]
    new_call_id: Callable[[], str]

    def sender(self, chain: tuple[bytes, ...]) -> Sender:
        """Who is at the other end of a connection."""
        try:
            return Sender(self.read_peer(chain) if chain else None, TRANSPORT)
        except BrokerError:  # its requests will be answered that
            return Sender(None, TRANSPORT)

    def enter(self, sender: Sender, exchange: Exchange, start: Callable[[], asyncio.Task[None]]) -> None:
        """Has the request started when it is its turn: at once for what says whether the broker lives, or is
        published for everybody.
        """
        if exchange.scope["raw_path"] in _OPEN:
            start()
        else:
            self.shedder.arrive(sender, _EnteringRequest(self.new_call_id, exchange, start))


@dataclass(slots=True, eq=False)
class _EnteringRequest:
    """Implements `listeners.overload.Request`."""

    new_call_id: Callable[[], str]
    exchange: Exchange
    start: Callable[[], asyncio.Task[None]]

    def begin(self, begun: BegunRequest) -> bool:
        if self.exchange.disconnected:
            return False
        self.exchange.scope["state"]["admitted"] = begun.admitted
        self.start().add_done_callback(lambda _task: begun.ended())
        return True

    def refuse(self, error: BrokerError) -> str:
        call_id = self.new_call_id()
        exchange = self.exchange
        if not exchange.disconnected:
            oauth = exchange.scope["raw_path"].startswith(_OAUTH)
            body = errors.oauth_body(error) if oauth else errors.body(error)
            headers = errors.complete_headers(error, body, call_id)
            if _is_long(exchange.scope["headers"]):
                headers.append((b"connection", b"close"))  # else all of it would be read for nothing
            exchange.answer(errors.ROWS[error.kind].status, headers, body)
        return call_id


def _is_long(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether the request's body is, or may be."""
    named = dict(headers)
    length = named.get(b"content-length", b"0")
    short = length.isdigit() and len(length) <= _LONGEST_LENGTH and int(length) <= _SMALL_BYTES
    return b"transfer-encoding" in named or not short
