"""One HTTP request as an InboundCall: headers first, the body only once the caller is authenticated.

Knows: ASGI messages. Must not know: what is done with the Call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, replace
from typing import Any

from broker.errors import BrokerError, Kind
from broker.lanes import LARGE_BYTES, Lane
from broker.listeners.decode import decode_bodiless, decode_document, parse_body, too_large, with_purpose
from broker.listeners.forwarding import is_forwarded, of_one_connection
from broker.listeners.https.coding import decoded
from broker.listeners.https.routes import Body, Match
from broker.model.call import Call
from broker.model.operation import Operation
from broker.model.request_context import RequestContext

MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_FORM_BYTES = 32 * 1024
"""Of a form under /oauth: a scope and a token of 4 KiB each, percent-encoded where it must be."""
BODY_SECONDS = 15.0
_LONGEST_LENGTH = 18  # digits
_FORWARDED = frozenset(
    {
        "accept",
        "content-type",
        "idempotency-key",
        "openai-beta",
        "traceparent",
        "tracestate",
        "user-agent",
        "x-client-request-id",
    }
)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@dataclass(slots=True, eq=False)  # not frozen: that would cost four times as much, with each call
class HttpInboundCall:
    """Implements `call.inbound.InboundCall` for a `/v1` route. `forwarded` are further header prefixes that
    go on; `whole` says that the body has arrived.
    """

    context: RequestContext
    operation: Operation
    bearer: str | None
    match: Match
    path: str
    headers: dict[str, str]
    receive: Receive
    forwarded: tuple[str, ...]
    admitted: Callable[[], None]
    whole: bool = False

    async def decode(self, lane: Lane) -> Call:
        """The Call. Raises BAD_REQUEST or TOO_LARGE."""
        method = self.match.route.method
        headers = forwarded_headers(self.headers, self.forwarded)
        purpose = self.headers.get("x-broker-purpose")
        if self.match.route.body is Body.NONE:
            stream = "stream=true" in self.path.partition("?")[2].split("&")
            call = decode_bodiless(self.operation, method, self.path, self.match.model, stream, headers)
            call = replace(call, target=self.match.target)
            return with_purpose(call, purpose)
        media = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media != "application/json":
            raise _unreadable("the content type must be application/json")
        body = await read_body(self.headers, self.receive, whole=self.whole)

        def decoded_call() -> Call:
            return decode_document(self.operation, method, self.path, parse_body(body), body, headers)

        large = len(body) > LARGE_BYTES
        call = await lane.once(len(body), decoded_call) if large else decoded_call()
        if self.match.target is not None:
            call = replace(call, target=self.match.target)
        return with_purpose(call, purpose)


async def read_body(
    headers: dict[str, str], receive: Receive, *, whole: bool = False, most: int = MAX_BODY_BYTES
) -> bytes:
    """The whole body, at most `most` bytes within 15 s, also behind a coding, which is taken off. `whole`:
    all of it is here already, as it is with most requests, and nobody need watch the time.
    """
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()) or len(length) > _LONGEST_LENGTH or int(length) > most:
        raise too_large(most)
    body = await (_whole(receive, most) if whole else _in_time(receive, most))
    codings = headers.get("content-encoding")
    return body if codings is None else await decoded(codings, body, most)


async def _in_time(receive: Receive, most: int) -> bytes:
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _whole(receive, most)
    except TimeoutError:
        raise _unreadable(f"it did not arrive within {BODY_SECONDS:g} s") from None


async def _whole(receive: Receive, most: int) -> bytes:
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BrokerError(Kind.CALLER_GONE, "The caller left before its request was whole.")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        more = message.get("more_body", False)
        if size > most:
            raise too_large(most)
    return b"".join(chunks)


def forwarded_headers(headers: dict[str, str], extra: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """The caller's headers that upstream may see; everything else, its token first, stays here."""
    prefixes = ("x-stainless-", *extra)
    kept = of_one_connection(headers.get("connection"))
    passed = [
        field
        for field in headers.items()
        if (field[0] in _FORWARDED or is_forwarded(field[0], prefixes)) and field[0] not in kept
    ]
    return tuple(passed)


def bearer_of(headers: dict[str, str]) -> str | None:
    """The bearer token (RFC 6750, 2.1), or None."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _unreadable(why: str) -> BrokerError:
    return BrokerError(
        Kind.BAD_REQUEST,
        f"The body cannot be read: {why}.",
        param="body",
        remedy="Send plain JSON with content-type application/json.",
    )
