"""The life of one call: its states, what can happen in each, and which record each ends or begins with.

Knows: every legal order. Must not know: what a step does, what a record holds. Whatever is not in the table
raises: it is a defect of ours.

    authenticated ──▶ authorized ──▶ recorded ──▶ sent ──▶ answered ──▶ closed
          │ denied        │ intent       ▲          │ │ ▲                  outcome
          ▼               ▼              └─ unsent ─┘ ▼ │ another key
        denied        unrecorded                    refused
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from broker.model.record import RecordType


class State(StrEnum):
    """Where a call is."""

    AUTHENTICATED = "authenticated"
    """Who calls is known. It has spent nothing, and nothing is recorded of it."""
    AUTHORIZED = "authorized"
    """All said yes; its worst case is reserved, its intent on its way to the log."""
    RECORDED = "recorded"
    """Its intent is durable. Upstream has nothing of it."""
    SENT = "sent"
    """Upstream may be at work on it."""
    REFUSED = "refused"
    """Upstream refused it, and is not at work on it. Another key may be tried."""
    ANSWERED = "answered"
    """It has its answer, which is passed on."""
    PAGING = "paging"
    """It has its answer, a listing, and upstream is asked for the next page."""
    DENIED = "denied"
    CLOSED = "closed"
    UNRECORDED = "unrecorded"
    """Its intent could not be recorded, so it was given up, and what was reserved given back."""


class Event(StrEnum):
    """What can happen to a call."""

    DENIED = "denied"
    """A step said no, or failed; the caller left."""
    AUTHORIZED = "authorized"
    RECORDED = "recorded"
    UNRECORDED = "unrecorded"
    SENT = "sent"
    """From here on upstream may have it."""
    UNSENT = "unsent"
    """It is known that upstream has nothing of it."""
    REFUSED = "refused"
    """Upstream answered with an error."""
    ANSWERED = "answered"
    """An answer of upstream's stands: no other key is tried."""
    CLOSED = "closed"
    """It is over, however it went."""


TRANSITIONS: Mapping[State, Mapping[Event, State]] = {
    State.AUTHENTICATED: {
        Event.DENIED: State.DENIED,
        Event.AUTHORIZED: State.AUTHORIZED,
    },
    State.AUTHORIZED: {
        Event.RECORDED: State.RECORDED,
        Event.UNRECORDED: State.UNRECORDED,
        Event.CLOSED: State.CLOSED,
    },
    State.RECORDED: {
        Event.SENT: State.SENT,
        Event.CLOSED: State.CLOSED,
    },
    State.SENT: {
        Event.UNSENT: State.RECORDED,
        Event.REFUSED: State.REFUSED,
        Event.ANSWERED: State.ANSWERED,
        Event.CLOSED: State.CLOSED,
    },
    State.REFUSED: {
        Event.SENT: State.SENT,
        Event.ANSWERED: State.ANSWERED,
        Event.CLOSED: State.CLOSED,
    },
    State.ANSWERED: {
        Event.SENT: State.PAGING,
        Event.CLOSED: State.CLOSED,
    },
    State.PAGING: {
        Event.SENT: State.PAGING,
        Event.UNSENT: State.PAGING,
        Event.REFUSED: State.PAGING,
        Event.ANSWERED: State.ANSWERED,
        Event.CLOSED: State.CLOSED,
    },
    State.DENIED: {},
    State.CLOSED: {},
    State.UNRECORDED: {},
}

RECORDS: Mapping[State, RecordType] = {
    State.DENIED: RecordType.DENIED,
    State.AUTHORIZED: RecordType.INTENT,
    State.CLOSED: RecordType.OUTCOME,
}
"""What is recorded of a call as it comes into this state; nothing in all others."""


class IllegalTransitionError(RuntimeError):
    """Something happened to a call, or was to be recorded of it, that cannot be where it is."""


class Lifecycle:
    """Of one call, from its caller to its last record."""

    __slots__ = ("_state",)

    def __init__(self) -> None:
        self._state = State.AUTHENTICATED

    @property
    def state(self) -> State:
        """Where the call is."""
        return self._state

    @property
    def over(self) -> bool:
        """Whether nothing can happen to it any more."""
        return not TRANSITIONS[self._state]

    def take(self, event: Event) -> None:
        """This has happened to the call. Raises IllegalTransitionError where it cannot."""
        state = TRANSITIONS[self._state].get(event)
        if state is None:
            raise IllegalTransitionError(f"a call that is {self._state} cannot be {event}")
        self._state = state

    def check(self, record: RecordType) -> None:
        """Raises IllegalTransitionError where this is not what is recorded of the call as it now is."""
        if RECORDS.get(self._state) is not record:
            raise IllegalTransitionError(f"{record} is no record of a call that is {self._state}")
