"""How many fields a protobuf message has, counted on the wire before anything is made of them.

Knows: the wire format (protobuf.dev/programming-guides/encoding). Must not know: any RPC. A message of 16 MiB
can hold eight million empty ones, each of which takes a hundred bytes and more once it is parsed.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

_VARINT, _FIXED64, _SIZED, _FIXED32 = 0, 1, 2, 5
_MORE = 0x80
_LONGEST_VARINT = 10
_NOT_LAST = bytes(range(_MORE, 256))


class _MalformedError(ValueError):
    """No message: the parser, which reads it next, says so."""


def has_more_fields(message: type[Message], raw: bytes, most: int) -> bool:
    """Whether the message and those within have more than `most` fields; a packed array counts its numbers.
    False for what is malformed.
    """
    if len(raw) <= most:  # no field is shorter than one byte
        return False
    pending: list[tuple[Any, int, int]] = [(message.DESCRIPTOR, 0, len(raw))]
    count = 0
    try:
        while pending and count <= most:
            kind, place, end = pending.pop()
            while place < end and count <= most:
                count += 1
                place, number, size = _field(raw, place, end)
                field = kind.fields_by_number.get(number) if size else None
                if field is not None and field.message_type is not None:
                    pending.append((field.message_type, place - size, place))
                elif field is not None and field.is_repeated:
                    count += _packed(field, raw[place - size : place])
    except _MalformedError:
        return False
    return count > most


def _packed(field: FieldDescriptor, numbers: bytes) -> int:
    """How many numbers there are; each integer has one byte that says that it is its last."""
    if field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE:
        return len(numbers) // 8
    if field.cpp_type == FieldDescriptor.CPPTYPE_INT64:
        return len(numbers.translate(None, _NOT_LAST))
    return 0


def _field(raw: bytes, place: int, end: int) -> tuple[int, int, int]:
    """Where the field at `place` ends, its number, and how many bytes of it a length announced."""
    tag, place = _varint(raw, place, end)
    wire, size = tag & 7, 0
    if wire == _VARINT:
        _, place = _varint(raw, place, end)
    elif wire == _SIZED:
        size, place = _varint(raw, place, end)
        place += size
    elif wire in (_FIXED64, _FIXED32):
        place += 8 if wire == _FIXED64 else 4
    else:
        raise _MalformedError
    if place > end:
        raise _MalformedError
    return place, tag >> 3, size


def _varint(raw: bytes, place: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while place < end and shift < 7 * _LONGEST_VARINT:
        byte = raw[place]
        place += 1
        value |= (byte & ~_MORE) << shift
        if byte < _MORE:
            return value, place
        shift += 7
    raise _MalformedError
