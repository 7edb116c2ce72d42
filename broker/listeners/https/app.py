"""The ASGI application of the HTTPS listener: route, hand to the core, render.

Knows: the route table and the two renderings of an error. Must not know: anything the core decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

from broker.errors import BrokerError, Kind
from broker.listeners.https import errors
from broker.listeners.https.gate import TRANSPORT
from broker.listeners.https.limits import LimitRoutes
from broker.listeners.https.oauth import OAuth
from broker.listeners.https.protocol import DisconnectWatch
from broker.listeners.https.request import HttpInboundCall, Message, Receive, Send, bearer_of
from broker.listeners.https.routes import Match, Open, find
from broker.listeners.interfaces import CallInterface
from broker.model.call import Reply, StreamReply
from broker.model.operation import Operation
from broker.model.request_context import RequestContext
from broker.model.subject import Peer

Headers = list[tuple[bytes, bytes]]
_AT_ONCE_BYTES = 1024 * 1024
_SINGLE = frozenset({"authorization", "content-type", "content-length", "content-encoding", "host"})

_DEFECT = BrokerError(
    Kind.INTERNAL, "The broker failed on this call.", remedy="Tell its operator the x-broker-call-id."
)


class BrokenOffError(Exception):
    """A reply that was begun may not go on."""


@dataclass(frozen=True, slots=True)
class HttpsDependencies:
    """What the listener needs of the core; plain functions and objects, given by the composition root.

    `unready` returns what is missing, or an empty string when calls can be served.
    """

    calls: CallInterface
    oauth: OAuth
    limits: LimitRoutes
    read_peer: Callable[[tuple[bytes, ...]], Peer]
    unready: Callable[[], str]
    new_call_id: Callable[[], str]
    forwarded: tuple[str, ...] = ()


class HttpsApp:
    """The ASGI callable. One instance serves all connections."""

    def __init__(self, listener: HttpsDependencies) -> None:
        self._listener = listener

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        call_id = self._listener.new_call_id()
        match = find(scope["method"], scope["raw_path"].decode("latin-1"))
        try:
            await self._serve(scope, receive, send, match, call_id)
        except BrokerError as error:
            oauth = match is not None and match.route.path.startswith("/oauth/")
            await _respond_error(send, error, call_id, oauth=oauth)
        except Exception:
            # A defect: the caller learns that much and no more, the log where it lies (its type and place).
            await _respond_error(send, _DEFECT, call_id, oauth=False)
            raise

    def _serve(
        self, scope: Message, receive: Receive, send: Send, match: Match | None, call_id: str
    ) -> Awaitable[None]:
        """What serves the request; no function of its own waits for that."""
        if match is None:
            raise BrokerError(
                Kind.NOT_FOUND, "The broker serves no such path.", remedy="See protos/README.md, Routes."
            )
        authorization = match.route.authorization
        if isinstance(authorization, Open):
            return self._public(match.route.path, send)
        headers = _headers(scope["headers"])
        context = RequestContext(call_id, self._peer(scope), TRANSPORT)
        if isinstance(authorization, Operation):
            inbound = self._inbound(scope, receive, match, authorization, headers, context)
            return self._call(inbound, send, scope["state"]["disconnect"])
        return self._answer(match.route.path, scope, context, headers, receive, send)

    async def _answer(
        self,
        path: str,
        scope: Message,
        context: RequestContext,
        headers: dict[str, str],
        receive: Receive,
        send: Send,
    ) -> None:
        """What is no call."""
        if path.startswith("/oauth/"):
            reply = await self._listener.oauth.serve(path, context, headers, receive)
        else:
            query = scope["query_string"].decode("latin-1")
            reply = await self._listener.limits.serve(path, query, context, headers, receive)
        await _respond(send, reply, context.call_id)

    def _inbound(
        self,
        scope: Message,
        receive: Receive,
        match: Match,
        operation: Operation,
        headers: dict[str, str],
        context: RequestContext,
    ) -> HttpInboundCall:
        query = scope["query_string"].decode("latin-1")
        path = scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
        return HttpInboundCall(
            context=context,
            operation=operation,
            bearer=bearer_of(headers),
            match=match,
            path=path,
            headers=headers,
            receive=receive,
            forwarded=self._listener.forwarded,
            admitted=scope["state"].get("admitted", _by_nobody),
            whole="whole" in scope["state"],
        )

    async def _call(self, inbound: HttpInboundCall, send: Send, disconnect: DisconnectWatch) -> None:
        disconnect.waiting = disconnect.serving
        try:
            reply = await self._listener.calls.run(inbound)
            if isinstance(reply, Reply):
                disconnect.waiting = None
                await _respond(send, reply, inbound.context.call_id)
            else:
                await _stream(reply, inbound.context.call_id, send)
        except asyncio.CancelledError:  # the caller left: the call has ended, upstream and in the log
            if not disconnect.gone:
                raise
        except BrokenOffError:
            disconnect.waiting = None
            disconnect.break_off()
            await _caller_left(inbound.receive)  # until then this reply is one that was not ended
        finally:
            disconnect.waiting = None

    async def _public(self, path: str, send: Send) -> None:
        if path == "/healthz":
            reply = Reply(200, (("content-type", "application/json"),), b'{"status":"alive"}')
        elif path == "/readyz":
            reply = _readiness(self._listener.unready())
        else:
            reply = self._listener.oauth.metadata(path)
        await _respond(send, reply, None)

    def _peer(self, scope: Message) -> Peer:
        chain = scope["state"]["peer_chain"]
        if not chain:
            raise BrokerError(
                Kind.CERTIFICATE_INVALID,
                "No client certificate came with this connection.",
                remedy="Connect with the service's X.509-SVID: curl --cert svid.pem --key svid.key …",
            )
        return self._listener.read_peer(chain)


def _readiness(missing: str) -> Reply:
    if not missing:
        return Reply(200, (("content-type", "application/json"),), b'{"status":"ready"}')
    body = f'{{"status":"unready","missing":"{missing}"}}'.encode()
    return Reply(503, (("content-type", "application/json"), ("retry-after", "1")), body)


def _by_nobody() -> None:
    """No gate before this listener wants to be told."""


def _headers(raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Names (lower case) to values. A header that must be single and is not is refused: two readers
    could disagree about which one counts.
    """
    found: dict[str, str] = {}
    for name_bytes, value_bytes in raw:
        name, value = name_bytes.decode("latin-1"), value_bytes.decode("latin-1")
        if name in found:
            if name in _SINGLE:
                raise BrokerError(Kind.BAD_REQUEST, f"The header {name} came twice.", param=name)
            value = f"{found[name]}, {value}"
        found[name] = value
    return found


def _reply_headers(reply: Reply | StreamReply, call_id: str | None) -> Headers:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers]
    if call_id is not None:
        headers.append((b"x-broker-call-id", call_id.encode()))
    return headers


async def _respond(send: Send, reply: Reply, call_id: str | None) -> None:
    headers = _reply_headers(reply, call_id)
    headers.append((b"content-length", str(len(reply.body)).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    start = 0
    while len(reply.body) - start > _AT_ONCE_BYTES:  # to encrypt a long one in one go keeps the event loop
        part = reply.body[start : start + _AT_ONCE_BYTES]
        await send({"type": "http.response.body", "body": part, "more_body": True})
        start += _AT_ONCE_BYTES
        await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": reply.body[start:]})


async def _respond_error(send: Send, error: BrokerError, call_id: str, *, oauth: bool) -> None:
    body = errors.oauth_body(error) if oauth else errors.body(error)
    headers = errors.complete_headers(error, body, call_id)
    if error.kind is Kind.TOO_LARGE:
        headers.append((b"connection", b"close"))  # its body is still coming, and nobody will read it
    await send({"type": "http.response.start", "status": errors.ROWS[error.kind].status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _stream(reply: StreamReply, call_id: str, send: Send) -> None:
    """Passes events on as they come. Raises BrokenOffError for a stream that may not go on, behind its error
    event: the transfer then has no end (RFC 9112, 8), for it is not whole.
    """
    headers = _reply_headers(reply, call_id)
    async with aclosing(reply.events) as batches:  # type: ignore[type-var]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        try:
            async for batch in batches:
                await send({"type": "http.response.body", "body": b"".join(batch), "more_body": True})
        except BrokerError as error:
            await send({"type": "http.response.body", "body": errors.event(error), "more_body": True})
            raise BrokenOffError from None
    await send({"type": "http.response.body", "body": b""})


async def _caller_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
