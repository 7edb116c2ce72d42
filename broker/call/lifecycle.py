"""The life of one call: its states, what can happen in each, and which records tell of it.

Knows: every legal order. Must not know: what a step does, what a record holds. Whatever is not in the table
raises: it is a defect of ours.

    authenticated ──▶ authorized ──▶ recorded ──▶ sent ──▶ answered ──▶ closed
          │ denied      │ │          intent ▲      │ │ ▲                 outcome
          ▼             │ ▼                 └unsent┘ ▼ │ another key
        denied ◀────────┘ unrecorded              refused
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from broker.model.record import RecordType

State = Literal[
    "authenticated",  # who calls is known; it has spent nothing, and nothing is recorded of it
    "denied",
    "authorized",  # all said yes; what it reserves and its intent are on their way to the log, as one
    "unrecorded",  # neither could be: it was given up
    "recorded",  # its worst case is reserved, its intent durable; upstream has nothing of it
    "sent",  # upstream may be at work on it
    "refused",  # upstream refused it, and is not at work on it; another key may be tried
    "answered",  # it has its answer, which is passed on
    "paging",  # its answer is a listing, and upstream is asked for the next page
    "closed",
]
Event = Literal[
    "denied",  # a step said no, or failed, or the caller left, or a limit would be passed
    "authorized",
    "recorded",
    "unrecorded",
    "sent",  # from here on upstream may have it
    "unsent",  # it is known that upstream has nothing of it
    "refused",  # upstream answered with an error
    "answered",  # this answer stands: no other key is tried
    "closed",  # it is over, however it went
]

TRANSITIONS: Mapping[State, Mapping[Event, State]] = {
    "authenticated": {"denied": "denied", "authorized": "authorized"},
    "denied": {},
    "authorized": {"recorded": "recorded", "denied": "denied", "unrecorded": "unrecorded"},
    "unrecorded": {},
    "recorded": {"sent": "sent", "closed": "closed"},
    "sent": {"unsent": "recorded", "refused": "refused", "answered": "answered", "closed": "closed"},
    "refused": {"sent": "sent", "answered": "answered", "closed": "closed"},
    "answered": {"sent": "paging", "closed": "closed"},
    "paging": {
        "sent": "paging",
        "unsent": "paging",
        "refused": "paging",
        "answered": "answered",
        "closed": "closed",
    },
    "closed": {},
}

RECORDS: Mapping[Event, RecordType] = {
    "denied": RecordType.DENIED,
    "recorded": RecordType.INTENT,
    "closed": RecordType.OUTCOME,
}
"""What is recorded of a call as this happens to it; nothing of all else."""


class IllegalTransitionError(RuntimeError):
    """Something happened to a call, or was to be recorded of it, that cannot be where it is."""


class Lifecycle:
    """Of one call, from its caller to its last record."""

    __slots__ = ("_last", "_state")

    def __init__(self) -> None:
        self._state: State = "authenticated"
        self._last: Event | None = None

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
        self._state, self._last = state, event

    def check(self, record: RecordType) -> None:
        """Raises IllegalTransitionError where this is not what is recorded of what has happened last."""
        if self._last is None or RECORDS.get(self._last) is not record:
            raise IllegalTransitionError(f"{record} is no record of a call that is {self._state}")
