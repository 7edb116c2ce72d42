"""Carries out the knobs: errors due before an operation runs, and damage to what it answered.

Knows: knobs and replies. Must not know: sockets; time passes in `delivery`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from broker.simulator import api_error
from broker.simulator.knobs import Knob, Knobs
from broker.simulator.reply import Events, Json, Reply, data_event, named_event
from broker.simulator.shelf import Shelf

_UNKNOWN_EVENT = (
    b': keep-alive\n\nevent: simulated.unknown\ndata: {"type":"simulated.unknown","object":"unknown"}\n\n'
)


def refuse_if_asked(knobs: Knobs, shelf: Shelf, attempt_key: str, api_key: str) -> None:
    """Raises the ApiError a knob demands. `attempt_key` is what makes two requests attempts of one."""
    if Knob.WRONG_KEY in knobs:
        raise api_error.wrong_key(api_key)
    if Knob.LACKS_SCOPE in knobs:
        raise api_error.missing_scope("model.request")
    if Knob.RATE_LIMIT in knobs:
        raise api_error.rate_limited(_retry_after(knobs))
    failing = knobs.get(Knob.RATE_LIMIT_THEN_OK)
    if failing is not None and shelf.attempt(attempt_key) <= failing:
        raise api_error.rate_limited(_retry_after(knobs))
    if Knob.ERROR in knobs:
        raise api_error.server_error()
    if Knob.OVERLOADED in knobs:
        raise api_error.overloaded()
    if Knob.MODERATION in knobs:
        raise api_error.flagged_prompt()
    if Knob.CONTEXT in knobs:
        raise api_error.context_overflow()


def _retry_after(knobs: Knobs) -> int:
    milliseconds = knobs.get(Knob.RETRY_AFTER_MS)
    return 1000 if milliseconds is None else milliseconds


def damaged(reply: Reply, knobs: Knobs) -> Reply:
    """The reply with malformed JSON, unknown events, an error event, or without its terminal event."""
    if isinstance(reply, Json):
        broken = Knob.MALFORMED_JSON in knobs
        return Json(reply.status, reply.body[: len(reply.body) // 2], reply.headers) if broken else reply
    events: Iterable[bytes] = reply.events
    if Knob.MALFORMED_JSON in knobs:
        events = _second_broken(events)
    if Knob.UNKNOWN_EVENT in knobs:
        events = (piece for event in events for piece in (_UNKNOWN_EVENT, event))
    after = knobs.get(Knob.ERROR_EVENT)
    if after is not None:
        return Events(_then_error(events, after, reply.terminal), b"")
    return Events(events, b"" if Knob.END_WITHOUT_DONE in knobs else reply.terminal)


def whole_stream(reply: Events) -> Iterator[bytes]:
    """The events and, unless it was withheld, the terminal one."""
    return chain(reply.events, filter(None, (reply.terminal,)))


def _second_broken(events: Iterable[bytes]) -> Iterator[bytes]:
    for place, event in enumerate(events):
        yield event[: len(event) // 2] + b"\n\n" if place == 1 else event


def _then_error(events: Iterable[bytes], after: int, terminal: bytes) -> Iterator[bytes]:
    for place, event in enumerate(events):
        if place >= after:
            break
        yield event
    failure = api_error.server_error()
    if terminal.startswith(b"event: "):
        shown = {"type": "error", "code": "server_error", "message": failure.message, "param": None}
        yield named_event({**shown, "sequence_number": after})
    else:
        yield data_event(failure.body)
