"""Step 10 of a stream: an event is held back until all its text is known to be no part of a match.

Knows: which event waits for which text. Must not know: what an event tells, what a rule looks for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from broker.errors import BrokerError
from broker.model.call import EventBatch
from broker.prefilter.inspector import TooManyFindingsError
from broker.prefilter.place import Needs, Place, TooManyPlacesError
from broker.prefilter.places import Places
from broker.prefilter.stream import CutError
from broker.shaping.denial import content_blocked
from broker.shaping.incomplete import incomplete
from broker.shaping.sse import is_joined_by_nobody

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

    def admit(self, event: bytes, document: object, beside: Sequence[tuple[bytes, bytes]]) -> EventBatch:
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

    def go_on(self, event: bytes, strings: Iterable[tuple[Place, str]]) -> EventBatch:
        """`admit` of an event that differs from the last one in these strings only."""
        places = self._places
        if places is None:
            return [event]
        try:
            needs = places.again(strings)
        except CutError as cut:
            raise self._refusal(cut.rule, places.where) from None
        return self._in_order(event, needs)

    def _in_order(self, event: bytes, needs: Needs) -> EventBatch:
        if not needs and not self._held:
            return [event]
        self._held.append((event, needs))
        return self._free()

    def finish(self) -> EventBatch:
        """Upstream has said all: what could have begun a match did not."""
        if self._places is None:
            return []
        try:
            self._places.finish()
        except CutError as cut:
            raise self._refusal(cut.rule, self._places.where) from None
        return self._free()

    def _free(self) -> EventBatch:
        free: EventBatch = []
        while self._held and all(place.free >= end for place, end in self._held[0][1]):
            free.append(self._held.popleft()[0])
        return free
