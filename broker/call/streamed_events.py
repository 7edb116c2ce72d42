"""Step 10 while a reply streams: what of each event its caller may see, and when.

Knows: the order of events, and what one tells. Must not know: sockets, records, what a rule looks for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from hashlib import sha256

from broker.call.continuation import Continuation
from broker.call.gate import Gate
from broker.call.phases import Authorized
from broker.errors import BrokerError, Kind
from broker.model.call import EventBatch
from broker.model.decision import Action
from broker.prefilter.place import Place
from broker.prefilter.places import Places
from broker.shaping.denial import reply_cut
from broker.shaping.incomplete import error_of, incomplete, is_of_the_key, told_by_upstream
from broker.shaping.key_refusal import key_refused
from broker.shaping.reply import parse_reply
from broker.shaping.sse import is_last, parts
from broker.shaping.usage_request import unasked

_NO_DOCUMENT = frozenset((b"null", b"[DONE]"))
_OPENS_JSON = frozenset((b"{", b"[", b'"'))

Learn = Callable[[object], Awaitable[None]]
"""Takes each event's data; when it returns, the objects that it names as made have an owner, durably."""


class StreamedEvents:
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
        """The event as its caller is to see it, counted; None where it is not to. Raises BUDGET_EXCEEDED
        where upstream writes on although it was told to end.
        """
        call = self._call
        if call.meter.delivered.too_long:
            raise _too_long(call.meter.estimate.terms.answers.each)
        shown = unasked(event, self._document) if call.meter.usage_added else event
        call.reply.passed(len(shown or b""))
        if shown is not None:
            self._digest.update(shown)
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
