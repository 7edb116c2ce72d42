"""Steps 10 to 12 while a reply streams: watch, hold back, pass on, record before the last byte.

Knows: the order of events and when one may leave. Must not know: sockets, gRPC, what a rule looks for.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing, suppress
from functools import partial
from hashlib import sha256

from broker.call.audited_call import AuditedCall
from broker.call.continuation import Continuation
from broker.call.phases import Authorized
from broker.call.stream_supervisor import StreamHandle
from broker.errors import BrokerError
from broker.lanes import Breath
from broker.model.call import EventBatch, Events, StreamReply
from broker.model.decision import Action
from broker.prefilter.inspector import TooManyFindingsError
from broker.prefilter.place import Needs, Place, TooManyPlacesError
from broker.prefilter.places import Places
from broker.prefilter.stream import CutError
from broker.shaping.denial import content_blocked, reply_cut
from broker.shaping.incomplete import error_of, incomplete, is_of_the_key, recounted, told_by_upstream
from broker.shaping.key_refusal import key_refused
from broker.shaping.reply import parse_reply
from broker.shaping.sse import is_joined_by_nobody, is_last, parts
from broker.shaping.usage_request import unasked

_NO_DOCUMENT = frozenset((b"null", b"[DONE]"))
_OPENS_JSON = frozenset((b"{", b"[", b'"'))
_FAREWELL_SECONDS = 1.0
"""How long upstream may take to end what it has ended: its connection then serves another call."""


Learn = Callable[[object], Awaitable[None]]
"""Takes each event's data; when it returns, the objects that it names as made have an owner, durably."""

_BLOCKED = partial(content_blocked, where="reply")


class Gate:
    """Holds whole events until all their text is known to be no part of a match, in order.

    Guarantee: no event that carries a byte of a match is ever released. Events without text that could
    begin a match are released at once. `places` is None where nothing cuts. `refusal` makes the error of a
    match from its rule and its place.
    """

    def __init__(self, places: Places | None, refusal: Callable[[str, str], BrokerError] = _BLOCKED) -> None:
        self._places = places
        self._refusal = refusal
        self._held: deque[tuple[bytes, Needs]] = deque()

    def admit(self, event: bytes, document: object, beside: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """Takes the next event, its parsed data and the lines beside that; returns those that may leave.
        Raises CONTENT_BLOCKED, or UPSTREAM_INTERRUPTED where it cannot be told.
        """
        places = self._places
        if places is None:
            return [event]
        try:
            needs = places.read(document) if document is not None else []
            for name, value in beside:
                needs = needs + places.read_line(name, value, known=is_joined_by_nobody(name))
        except CutError as cut:
            raise self._refusal(cut.rule, places.where) from None
        except (TooManyPlacesError, TooManyFindingsError):
            raise incomplete("The upstream sent more than can be filtered.", 0) from None
        return self._in_order(event, needs)

    def go_on(self, event: bytes, strings: Iterable[tuple[Place, str]]) -> list[bytes]:
        """`admit` of an event that differs from the last one in these strings only."""
        places = self._places
        if places is None:
            return [event]
        try:
            needs = places.again(strings)
        except CutError as cut:
            raise self._refusal(cut.rule, places.where) from None
        return self._in_order(event, needs)

    def _in_order(self, event: bytes, needs: Needs) -> list[bytes]:
        if not needs and not self._held:
            return [event]
        self._held.append((event, needs))
        return self._free()

    def finish(self) -> list[bytes]:
        """Upstream has said all: what could have begun a match did not."""
        if self._places is None:
            return []
        try:
            self._places.finish()
        except CutError as cut:
            raise self._refusal(cut.rule, self._places.where) from None
        return self._free()

    def _free(self) -> list[bytes]:
        free: list[bytes] = []
        while self._held and all(place.free >= end for place, end in self._held[0][1]):
            free.append(self._held.popleft()[0])
        return free


def stream(
    answer: StreamReply,
    places: Places | None,
    audited: AuditedCall,
    handle: StreamHandle,
    learn: Learn,
) -> Events:
    """The events that may leave, as they may; the terminal one only after the outcome is durable.

    An event leaves after `learn` has returned for it. `handle` cuts the stream where the caller may no longer
    act (expiry, revocation, policy), also between two events. Iterating raises BrokerError where the stream
    may not go on; closing early, even before the first event, is recorded too.
    """

    async def ended() -> None:
        async with aclosing(answer.events):  # type: ignore[type-var]
            handle.release()
            await asyncio.shield(audited.close(error=handle.gone))

    return Events(_watched(answer, places, audited, handle, learn), ended)


async def _watched(
    answer: StreamReply,
    places: Places | None,
    audited: AuditedCall,
    handle: StreamHandle,
    learn: Learn,
) -> AsyncGenerator[EventBatch, None]:
    passage, breath, delivered = _Passage(audited.call, places, learn), Breath(), 0
    try:
        async with aclosing(answer.events) as batches:  # type: ignore[type-var]
            while (batch := await handle.next(batches)) is not None:
                if handle.waited:
                    breath.rested()
                else:
                    await breath.taken()
                if free := await passage.take(batch):
                    delivered += sum(map(len, free))
                    yield free
                if passage.error is not None:
                    raise passage.error
                if passage.over:
                    *free, last = passage.finish()
                    if free:
                        delivered += sum(map(len, free))
                        yield free
                    failure = passage.failure
                    await audited.close(digest=passage.digest, error=failure.kind if failure else None)
                    delivered += len(last)
                    yield [last]
                    if failure is not None:
                        raise failure
                    await _farewell(batches)
                    return
    except BrokerError as error:
        audited.call.reply.ended_by(error)
        await asyncio.shield(audited.close(digest=passage.digest, error=error.kind))
        raise recounted(error, delivered) from None
    finally:
        handle.release()
        await asyncio.shield(audited.close(digest=passage.digest, error=handle.gone))


class _Passage:
    """One stream's events on their way from upstream to the caller, and what they told."""

    def __init__(self, call: Authorized, places: Places | None, learn: Learn) -> None:
        self._call = call
        self._learn = learn
        self._gate = Gate(places, partial(_cut, call))
        self._going = Continuation(call.meter, places)
        self._document: object = None
        self._first = True
        self._digest = sha256()
        self._last: EventBatch = []
        self.over = False
        """Whether the last event has come."""
        self.failure: BrokerError | None = None
        """What upstream tells in its last event of why it is the last."""
        self.error: BrokerError | None = None
        """Why no event may leave behind those that `take` has returned."""

    @property
    def digest(self) -> bytes:
        """Of all that was to leave."""
        return self._digest.digest()

    async def take(self, batch: EventBatch) -> EventBatch:
        """Takes the next events, up to the last of the stream; returns those that may leave. What goes wrong
        is `error`: events before it leave as they would have, had they come alone.
        """
        free: EventBatch = []
        try:
            for event in batch:
                strings = self._going.strings(event)
                more = await self._read(event) if strings is None else self._go_on(event, strings)
                if self.over:
                    self._last = more
                    break
                free += more
        except BrokerError as error:
            self.error = error
        return free

    def finish(self) -> EventBatch:
        """Once it is over: what still may leave, at last the last event. Raises CONTENT_BLOCKED."""
        return [*self._last, *self._gate.finish()]

    def _go_on(self, event: bytes, strings: Iterable[tuple[Place, str]]) -> EventBatch:
        """An event that differs from the last one in these strings only."""
        shown = self._shown(event)
        return self._gate.go_on(shown, strings) if shown is not None else []

    async def _read(self, event: bytes) -> EventBatch:
        call = self._call
        data, beside = parts(event, first=self._first)
        self._first = False
        document = self._document = _document(data)
        call.meter.streamed(document)
        if (shown := self._shown(event)) is None:
            return []
        if call.objects.may_make:
            await self._learn(document)
        self.failure = _failure(document)
        free = self._gate.admit(shown, document, beside)
        self.over = self.failure is not None or is_last(data, beside)
        self._going.read(event, document, beside)
        return free

    def _shown(self, event: bytes) -> bytes | None:
        """The event as its caller is to see it, counted; None where it is not to."""
        call = self._call
        shown = unasked(event, self._document) if call.meter.usage_added else event
        call.reply.passed(len(shown or b""))
        if shown is not None:
            self._digest.update(shown)
        return shown


def _cut(call: Authorized, rule: str, where: str) -> BrokerError:
    """Why the stream ends here; its outcome will tell."""
    call.reply.found(rule, where, Action.BLOCK)
    return reply_cut(call.decision, rule, where)


async def _farewell(batches: AsyncIterator[EventBatch]) -> None:
    """Upstream's connection comes to its end; whatever it still says after its last event is dropped."""
    with suppress(BrokerError, TimeoutError):
        async with asyncio.timeout(_FAREWELL_SECONDS):
            await anext(batches, None)


def _failure(document: object) -> BrokerError | None:
    """The error that upstream tells in this event, if it does: the event is its last. Raises
    CREDENTIAL_STORE_UNAVAILABLE where its words are about the key: they may hold a part of it.
    """
    error = error_of(document)
    if error is None:
        return None
    if is_of_the_key(error):
        raise key_refused()
    return told_by_upstream(error)


def _document(data: bytes | None) -> object:
    """The event's data: JSON, or the text it is where it never was to be JSON. Raises UPSTREAM_INTERRUPTED
    for broken JSON: what cannot be read cannot be filtered.
    """
    if not data:
        return None
    document = parse_reply(data)
    if document is not None or data in _NO_DOCUMENT:
        return document
    if data.lstrip()[:1] in _OPENS_JSON:
        raise incomplete("The upstream sent an event that is broken JSON.", 0)
    return data.decode("utf-8", "replace")
