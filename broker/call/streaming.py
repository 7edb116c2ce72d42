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
from broker.errors import BrokerError, Kind
from broker.lanes import Breath
from broker.model.call import Events, StreamReply
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
) -> AsyncGenerator[bytes, None]:
    call = audited.call
    gate = Gate(places, partial(_cut, call))
    digest, breath = sha256(), Breath()
    going = Continuation(call.meter, places)
    document: object = None
    failure: BrokerError | None = None
    delivered, over = 0, False
    first = True
    try:
        async with aclosing(answer.events) as events:  # type: ignore[type-var]
            while (event := await handle.next(events)) is not None:
                await breath.taken()
                strings = going.strings(event)
                if strings is None:
                    data, beside = parts(event, first=first)
                    first = False
                    document = _document(data)
                    call.meter.streamed(document)
                if (shown := _shown(event, document, call)) is None:
                    continue
                digest.update(shown)
                if strings is not None:
                    free = gate.go_on(shown, strings)
                else:
                    if call.objects.may_make:
                        await learn(document)
                    failure = _failure(document)
                    free = gate.admit(shown, document, beside)
                    over = failure is not None or is_last(data, beside)
                    going.read(event, document, beside)
                if over:
                    *free, last = [*free, *gate.finish()]
                    for earlier in free:
                        delivered += len(earlier)
                        yield earlier
                    await audited.close(digest=digest.digest(), error=failure.kind if failure else None)
                    delivered += len(last)
                    yield last
                    if failure is not None:
                        raise failure
                    await _farewell(events)
                    return
                for released in free:
                    delivered += len(released)
                    yield released
    except BrokerError as error:
        call.reply.ended_by(error)
        await asyncio.shield(audited.close(digest=digest.digest(), error=error.kind))
        raise recounted(error, delivered) from None
    finally:
        handle.release()
        await asyncio.shield(audited.close(digest=digest.digest(), error=handle.gone))


def _shown(event: bytes, document: object, call: Authorized) -> bytes | None:
    """The event as its caller is to see it, counted; None where it is not to. Raises BUDGET_EXCEEDED where
    upstream writes on although it was told to end.
    """
    if call.meter.delivered.too_long:
        raise _too_long(call.meter.estimate.terms.answers.each)
    shown = unasked(event, document) if call.meter.usage_added else event
    call.reply.passed(len(shown or b""))
    return shown


def _too_long(most: int) -> BrokerError:
    return BrokerError(
        Kind.BUDGET_EXCEEDED,
        f"The stream was cut: the upstream wrote more than the {most} tokens that were reserved for it.",
        remedy="Tell the operator: it was told to end there.",
    )


def _cut(call: Authorized, rule: str, where: str) -> BrokerError:
    """Why the stream ends here; its outcome will tell."""
    call.reply.found(rule, where, Action.BLOCK)
    return reply_cut(call.decision, rule, where)


async def _farewell(events: AsyncIterator[bytes]) -> None:
    """Upstream's connection comes to its end; whatever it still says after its last event is dropped."""
    with suppress(BrokerError, TimeoutError):
        async with asyncio.timeout(_FAREWELL_SECONDS):
            await anext(events, None)


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
