"""Carries out the overrides: errors due before an operation runs, and damage to what it answered.

Knows: overrides and replies. Must not know: sockets; time passes in `delivery`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from broker.simulator import api_error
from broker.simulator.overrides import Override, Overrides
from broker.simulator.reply import Events, Json, Reply, data_event, named_event
from broker.simulator.store import Store

_UNKNOWN_EVENT = (
    b': keep-alive\n\nevent: simulated.unknown\ndata: {"type":"simulated.unknown","object":"unknown"}\n\n'
)


def refuse_if_asked(overrides: Overrides, store: Store, attempt_key: str, api_key: str) -> None:
    """Raises the ApiError that an override demands. `attempt_key` makes two requests attempts of one."""
    if Override.WRONG_KEY in overrides:
        raise api_error.wrong_key(api_key)
    if Override.LACKS_SCOPE in overrides:
        raise api_error.missing_scope("model.request")
    if Override.PROJECT_SPENT in overrides:
        raise api_error.spend_limit_reached("project")
    if Override.ORGANIZATION_SPENT in overrides:
        raise api_error.spend_limit_reached("organization")
    if Override.RATE_LIMIT in overrides:
        raise api_error.rate_limited(_retry_after(overrides))
    failing = overrides.get(Override.RATE_LIMIT_THEN_OK)
    if failing is not None and store.attempt(attempt_key) <= failing:
        raise api_error.rate_limited(_retry_after(overrides))
    if Override.ERROR in overrides:
        raise api_error.server_error()
    if Override.OVERLOADED in overrides:
        raise api_error.overloaded()
    if Override.MODERATION in overrides:
        raise api_error.flagged_prompt()
    if Override.CONTEXT in overrides:
        raise api_error.context_overflow()


def _retry_after(overrides: Overrides) -> int:
    milliseconds = overrides.get(Override.RETRY_AFTER_MS)
    return 1000 if milliseconds is None else milliseconds


def damaged(reply: Reply, overrides: Overrides) -> Reply:
    """The reply with malformed JSON, unknown events, an error event, or without its terminal event."""
    if isinstance(reply, Json):
        broken = Override.MALFORMED_JSON in overrides
        return Json(reply.status, reply.body[: len(reply.body) // 2], reply.headers) if broken else reply
    events: Iterable[bytes] = reply.events
    if Override.MALFORMED_JSON in overrides:
        events = _second_broken(events)
    if Override.UNKNOWN_EVENT in overrides:
        events = (piece for event in events for piece in (_UNKNOWN_EVENT, event))
    after = overrides.get(Override.ERROR_EVENT)
    if after is not None:
        return Events(_then_error(events, after, reply.terminal), b"")
    return Events(events, b"" if Override.END_WITHOUT_DONE in overrides else reply.terminal)


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
