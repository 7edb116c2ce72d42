"""The next message of a stream where its event only goes on with the one before: most do, and are not parsed.

Knows: where a message holds the strings of a document. Must not know: what a stream is about, what it costs.
The message is the last one that was made from a document, with other strings in it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from broker.shaping.template import Leaf, Template, leaves, template

_COUNTING = "sequence_number"
_HOLDING = frozenset({FieldDescriptor.CPPTYPE_STRING, FieldDescriptor.CPPTYPE_MESSAGE})
_FREE, _EACH = 4, 8
"""So many messages are learned in a stream anyway; each further one takes so many events that went on."""


class _LearnedMessage(NamedTuple):
    """A message, and which field of which of its parts takes each string that the template leaves out."""

    template: Template
    message: Message
    fields: tuple[tuple[Message, str], ...]


class ContinuedMessages:
    """Of one stream: `learn` what was made of an event, then ask for that of the `next`."""

    def __init__(self) -> None:
        self._known: _LearnedMessage | None = None
        self._learned = 0
        self._went_on = 0

    def next(self, event: bytes) -> bytes | None:
        """The encoded message of this event; None where it must be parsed."""
        known = self._known
        texts = known.template.match(event) if known is not None else None
        if known is None or texts is None:
            return None
        self._went_on += 1
        for (part, name), text in zip(known.fields, texts, strict=True):
            setattr(part, name, text)
        return known.message.SerializeToString()

    def learn(self, event: bytes, document: dict[str, object], message: Message) -> None:
        """This message was made of that document, the event's data."""
        self._known = None
        if self._learned > _FREE + self._went_on // _EACH or _COUNTING in document:
            return
        strings = tuple(leaves(document))
        made = template(event, strings)
        fields = [_field(message, leaf) for leaf in strings if leaf.changes]
        if made is not None and None not in fields:
            self._known = _LearnedMessage(
                made, message, tuple(field for field in fields if field is not None)
            )
            self._learned += 1


def _field(message: Message, leaf: Leaf) -> tuple[Message, str] | None:
    """The part of the message, and its field, that hold this string; None where it stands elsewhere."""
    part: Any = message
    for step in leaf.path:
        inside = part[step] if isinstance(step, int) else _parts(part).get(step)
        if inside == leaf.text:
            return part, str(step)
        if inside is None or isinstance(inside, str):
            return None
        part = inside
    return next(((part, name) for name, inside in _parts(part).items() if inside == leaf.text), None)


def _parts(message: Message) -> dict[str, object]:
    """What is set of its strings and its messages, by name."""
    return {field.name: value for field, value in message.ListFields() if field.cpp_type in _HOLDING}
