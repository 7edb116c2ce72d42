"""Puts a reply on the wire: status, OpenAI's headers, body or events, at the pace the overrides ask for.

Knows: ASGI's send, and the transport of this connection. Must not know: what the reply means.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from broker.model.units import MS_PER_SECOND
from broker.simulator.faults import whole_stream
from broker.simulator.overrides import Override, Overrides
from broker.simulator.reply import Events, Json, Reply

Message = dict[str, object]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

_OPENAI = [
    (b"openai-version", b"2020-10-01"),
    (b"openai-organization", b"org-simulated"),
    (b"x-content-type-options", b"nosniff"),
]
_RATE_LIMITS = [
    (b"x-ratelimit-limit-requests", b"10000"),
    (b"x-ratelimit-limit-tokens", b"200000"),
    (b"x-ratelimit-remaining-requests", b"9999"),
    (b"x-ratelimit-remaining-tokens", b"199960"),
    (b"x-ratelimit-reset-requests", b"8.64s"),
    (b"x-ratelimit-reset-tokens", b"12ms"),
]
_JSON = (b"content-type", b"application/json")
_EVENT_STREAM = (b"content-type", b"text/event-stream; charset=utf-8")


class Connection(Protocol):
    """What is asked of the transport. `close` sends what is buffered and then ends the connection."""

    def close(self) -> None: ...

    def is_closing(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """One reply's way out. `started` is time.monotonic() when the request had arrived."""

    receive: Receive
    send: Send
    connection: Connection
    overrides: Overrides
    request_id: str
    started: float

    async def deliver(self, reply: Reply) -> None:
        """Sends the whole reply, or as much as the overrides allow. Stops when the caller has gone."""
        before = self.overrides.get(Override.SLOW_FIRST_BYTE)
        if before is not None:
            await self._pause(before)
        if self.connection.is_closing():
            return
        if isinstance(reply, Json):
            await self._send_document(reply)
        else:
            await self._send_events(reply)

    async def _send_document(self, reply: Json) -> None:
        headers = [_JSON, (b"content-length", b"%d" % len(reply.body)), *self._headers(reply.headers)]
        await self._start(reply.status, headers)
        if Override.CUT in self.overrides:
            await self._cut(reply.body)
        else:
            await self._body(reply.body, more=False)

    async def _send_events(self, reply: Events) -> None:
        await self._start(200, [_EVENT_STREAM, *self._headers(())])
        milliseconds = self.overrides.get(Override.SLOW_STREAM) or 0
        whole = self.overrides.get(Override.CUT)
        for place, event in enumerate(whole_stream(reply)):
            if place:
                await self._pause(milliseconds)
            if self.connection.is_closing():
                return
            if place == whole:
                await self._cut(event)
                return
            await self._body(self._stamped(event), more=True)
        await self._body(b"", more=False)

    async def _pause(self, milliseconds: int) -> None:
        """Waits, but no longer than the caller stays. Even 0 lets the loop write what it was given, so that
        every event leaves at once and by itself.
        """
        if milliseconds == 0:
            await asyncio.sleep(0)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(milliseconds / MS_PER_SECOND):
                await self.receive()

    async def _cut(self, piece: bytes) -> None:
        await self._body(piece[: len(piece) // 2], more=True)
        self.connection.close()
        await self.receive()  # until it is closed: uvicorn would report an unfinished reply as our error

    def _stamped(self, event: bytes) -> bytes:
        return (
            b": t=%d\n%b" % (time.monotonic_ns(), event) if Override.TIMESTAMPS in self.overrides else event
        )

    async def _start(self, status: int, headers: Headers) -> None:
        await self.send({"type": "http.response.start", "status": status, "headers": headers})

    async def _body(self, body: bytes, *, more: bool) -> None:
        await self.send({"type": "http.response.body", "body": body, "more_body": more})

    def _headers(self, own: tuple[tuple[bytes, bytes], ...]) -> Headers:
        overridden = {name for name, _ in own}
        elapsed = b"%d" % ((time.monotonic() - self.started) * MS_PER_SECOND)
        limits = _RATE_LIMITS if not own else [pair for pair in _RATE_LIMITS if pair[0] not in overridden]
        return [
            (b"x-request-id", self.request_id.encode()),
            (b"openai-processing-ms", elapsed),
            *_OPENAI,
            *limits,
            *own,
        ]
