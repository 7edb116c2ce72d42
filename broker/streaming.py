"""Steps 10 to 12 while a reply streams: watch, hold back, pass on, record before the last byte.

Knows: the order of events and when one may leave. Must not know: sockets, gRPC, what a rule looks for.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from hashlib import sha256

from broker.errors import BrokerError, Kind
from broker.lanes import Breath
from broker.model.call import Events, StreamReply
from broker.passage import Passage
from broker.prefilter.stream import CutError, StreamFilter
from broker.settlement import Settlement
from broker.shaping.denial import content_blocked
from broker.shaping.reply import Channel, deltas, parse_reply, wholes
from broker.shaping.sse import field, is_error, is_terminal
from broker.shaping.usage_request import unasked
from broker.vigil import Leash

_WHOLE: Channel = ("event",)
_NO_DOCUMENT = frozenset((b"null", b"[DONE]"))
_OPENS_JSON = frozenset((b"{", b"[", b'"'))


Learn = Callable[[object], Awaitable[None]]
"""Takes each event's data; when it returns, the objects that it names as made have an owner, durably."""


class Gate:
    """Holds whole events until all their text is known to be no part of a match, in order.

    Guarantee: no event that carries a byte of a match is ever released. Events without text that could
    begin a match are released at once.
    """

    def __init__(self, scanner: StreamFilter) -> None:
        self._scanner = scanner
        self._held: deque[tuple[bytes, dict[Channel, int]]] = deque()
        self._fed: dict[Channel, int] = {}
        self._safe: dict[Channel, int] = {}

    def admit(self, event: bytes, document: object) -> Iterator[bytes]:
        """Takes the next event and its parsed data, yields those that may leave. Raises CONTENT_BLOCKED."""
        needs: dict[Channel, int] = {}
        if isinstance(document, dict):
            for channel, text in deltas(document):
                self._fed[channel] = self._fed.get(channel, 0) + len(text)
                self._safe[channel] = self._decide(channel, text)
                needs[channel] = self._fed[channel]
        for text in wholes(document):
            self._decide(_WHOLE, text)
            self._decide(_WHOLE, None)
        self._held.append((event, needs))
        yield from self._free()

    def finish(self) -> Iterator[bytes]:
        """Upstream has said all: what could have begun a match did not."""
        for channel in self._fed:
            self._safe[channel] = self._decide(channel, None)
        yield from self._free()

    def _decide(self, channel: Channel, text: str | None) -> int:
        """How much of the channel may leave after `text`, or after its end (None)."""
        try:
            return self._scanner.finish(channel) if text is None else self._scanner.feed(channel, text)
        except CutError as cut:
            raise content_blocked(cut.rule, ".".join(channel), "reply") from None

    def _free(self) -> Iterator[bytes]:
        while self._held and all(self._safe[channel] >= end for channel, end in self._held[0][1].items()):
            yield self._held.popleft()[0]


def stream(
    answer: StreamReply,
    passage: Passage,
    scanner: StreamFilter,
    settlement: Settlement,
    leash: Leash,
    learn: Learn,
) -> Events:
    """The events that may leave, as they may; the terminal one only after the outcome is durable.

    An event leaves after `learn` has returned for it. `leash` cuts the stream where the caller may no longer
    act (expiry, revocation, policy), also between two events. Iterating raises BrokerError where the stream
    may not go on; closing early, even before the first event, is recorded too.
    """

    async def ended() -> None:
        async with aclosing(answer.events):  # type: ignore[type-var]
            leash.release()
            await asyncio.shield(settlement.close(error=leash.gone))

    return Events(_watched(answer, passage, scanner, settlement, leash, learn), ended)


async def _watched(
    answer: StreamReply,
    passage: Passage,
    scanner: StreamFilter,
    settlement: Settlement,
    leash: Leash,
    learn: Learn,
) -> AsyncGenerator[bytes, None]:
    gate = Gate(scanner)
    digest = sha256()
    breath = Breath()
    try:
        async with aclosing(answer.events) as events:  # type: ignore[type-var]
            while (event := await leash.next(events)) is not None:
                await breath.taken()
                document = _document(event)
                passage.meter.told(document)
                passage.meter.delivered.take(document)
                if passage.meter.usage_added:
                    shown = unasked(event, document)
                    if shown is None:
                        continue
                    event = shown
                digest.update(event)
                passage.reply_bytes += len(event)
                if passage.may_make:
                    await learn(document)
                free = [*gate.admit(event, document)]
                if is_terminal(event):
                    *free, last = [*free, *gate.finish()]
                    for earlier in free:
                        yield earlier
                    broken = Kind.UPSTREAM_INTERRUPTED if is_error(event) else None
                    await settlement.close(digest=digest.digest(), error=broken)
                    free = [last]
                for released in free:
                    yield released
    except BrokerError as error:
        await asyncio.shield(settlement.close(digest=digest.digest(), error=error.kind))
        raise
    finally:
        leash.release()
        await asyncio.shield(settlement.close(digest=digest.digest(), error=leash.gone))


def _document(event: bytes) -> object:
    """The event's data: JSON, or the text it is where it never was to be JSON. Raises UPSTREAM_INTERRUPTED
    for broken JSON: what cannot be read cannot be filtered.
    """
    data = field(event, b"data")
    if not data:
        return None
    document = parse_reply(data)
    if document is not None or data in _NO_DOCUMENT:
        return document
    if data.lstrip()[:1] in _OPENS_JSON:
        raise BrokerError(
            Kind.UPSTREAM_INTERRUPTED,
            "The upstream sent an event that is broken JSON.",
            remedy="Send the same request again: what you received is incomplete.",
        )
    return data.decode("utf-8", "replace")
