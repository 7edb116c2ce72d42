"""Events that only go on with the answer of the one before: most of a stream's, and told by their bytes.

Knows: what must hold for an event to tell nobody anything but its piece of text. Must not know: when an event
may leave, what a rule looks for.

Such an event is not parsed: it has the same document as the last one that was, but for a few strings. Its
text is counted, and every string of it that changed is read by the filter, as ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from broker.call.metering import Meter
from broker.prefilter.place import Place
from broker.prefilter.places import Places
from broker.shaping.delivered import AnswerCount
from broker.shaping.template import TEXTS, Template, leaves, template

_FREE, _EACH = 4, 8
"""So many templates are made in a stream anyway; each further one takes so many events that matched one."""


class _Known(NamedTuple):
    """`places` are those of the template's strings, none where nothing is filtered; `text` tells which of the
    strings goes on with `answer`.
    """

    template: Template
    places: tuple[Place, ...]
    text: int
    answer: AnswerCount


class Continuation:
    """Of one stream. After `read`, `strings` of the events that follow until one is read again."""

    def __init__(self, meter: Meter, places: Places | None) -> None:
        self._meter = meter
        self._places = places
        self._known: _Known | None = None
        self._made = 0
        self._matched = 0

    def strings(self, event: bytes) -> Sequence[tuple[Place, str]] | None:
        """What this event has in place of what the last one read has, for `Places.again`; its text is counted
        as delivered. None for an event that must be read.
        """
        known = self._known
        texts = known.template.match(event) if known is not None else None
        if known is None or texts is None:
            return None
        self._matched += 1
        known.answer.add(texts[known.text])
        return tuple(zip(known.places, texts, strict=False))

    def read(self, event: bytes, document: object, beside: Sequence[tuple[bytes, bytes]]) -> None:
        """An event that was read, and that was neither the last one nor an error."""
        self._known = None
        if self._made <= _FREE + self._matched // _EACH:
            self._known = self._learned(event, document, beside)
            self._made += self._known is not None

    def _learned(
        self, event: bytes, document: object, beside: Sequence[tuple[bytes, bytes]]
    ) -> _Known | None:
        answer = self._meter.delivered.continued(document)
        if answer is None or not self._meter.knows(document):
            return None
        strings = tuple(leaves(document))
        values = [leaf for leaf in strings if not leaf.key]
        changing = [leaf for leaf in values if leaf.changes]
        texts = [number for number, leaf in enumerate(changing) if leaf.path in TEXTS]
        if len(texts) != 1 or not changing[texts[0]].text:  # an empty one only opens an answer
            return None
        made = template(event, strings)
        if made is None:
            return None
        if self._places is None:
            return _Known(made, (), texts[0], answer)
        read = self._places.steady(document, beside)
        if read is None or not all(
            same or leaf.changes for (_, same), leaf in zip(read, values, strict=True)
        ):
            return None
        found = tuple(place for (place, _), leaf in zip(read, values, strict=True) if leaf.changes)
        return _Known(made, found, texts[0], answer)
