"""Message → JSON document, by a plan compiled once per message type.

Knows: shapes. Must not know: operations, how a message arrived.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import isfinite
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from broker.listeners.grpc.shapes import (
    EXTRA,
    EXTRA_JSON,
    STRUCT,
    DocumentError,
    MessageShape,
    enum_texts,
    is_map,
    shape_of,
)
from broker.listeners.grpc.structs import read_struct, read_text

Read = Callable[[Any], object]


@cache
def reader(descriptor: Descriptor) -> Read:
    """The function that turns a message of this type into its JSON value; it raises DocumentError."""
    if descriptor.full_name == STRUCT:
        return read_struct
    shape = shape_of(descriptor)
    if shape is MessageShape.OBJECT:
        return _object_reader(descriptor)
    if shape is MessageShape.UNION:
        return _union_reader(descriptor)
    if shape is MessageShape.ENVELOPE:
        return _envelope_reader(descriptor)
    return _array_reader(descriptor)


class _Late:
    """A reader looked up when it is first needed: message types may hold themselves."""

    __slots__ = ("_descriptor", "_read")

    def __init__(self, descriptor: Descriptor) -> None:
        self._descriptor = descriptor
        self._read: Read | None = None

    def __call__(self, message: Message) -> object:
        if self._read is None:
            self._read = reader(self._descriptor)
        return self._read(message)


def _object_reader(descriptor: Descriptor) -> Read:
    plan = {field: (field.name, _field_reader(field)) for field in descriptor.fields}
    first_extra = descriptor.fields_by_name[EXTRA].number

    def read(message: Message) -> dict[str, object]:
        document: dict[str, object] = {}
        name = ""
        try:
            for field, value in message.ListFields():
                name, convert = plan[field]
                if convert is None:
                    document[name] = value
                elif field.number < first_extra:
                    document[name] = convert(value)
                else:
                    _merge(document, convert(value))
        except DocumentError as error:
            raise error.within(name) if name not in (EXTRA, EXTRA_JSON) else error from None
        return document

    return read


def _merge(document: dict[str, object], extra: Any) -> None:
    """Adds the untyped members. A name given twice could be read one way by policy, another upstream."""
    for name, value in extra.items():
        if name in document:
            raise DocumentError("a field is given twice: typed, in extra or in extra_json")
        document[name] = value


def _union_reader(descriptor: Descriptor) -> Read:
    plan = {field: _field_reader(field) for field in descriptor.fields}

    def read(message: Message) -> object:
        for field, value in message.ListFields():
            convert = plan[field]
            return value if convert is None else convert(value)
        raise DocumentError("expected one of its values to be set")

    return read


def _array_reader(descriptor: Descriptor) -> Read:
    (field,) = descriptor.fields
    name = field.name
    convert = _field_reader(field) or list

    def read(message: Message) -> object:
        return convert(getattr(message, name))

    return read


def _envelope_reader(descriptor: Descriptor) -> Read:
    (field,) = descriptor.fields
    name = field.name
    convert = reader(_message_type(field))

    def read(message: Message) -> object:
        return convert(getattr(message, name))

    return read


def _field_reader(field: FieldDescriptor) -> Read | None:
    """What turns the field's Python value into its JSON value; None where they are the same."""
    if is_map(field):
        return _map_reader(field)
    single = _single_reader(field)
    if not field.is_repeated:
        return single
    return list if single is None else _items_reader(single)


def _single_reader(field: FieldDescriptor) -> Read | None:
    if field.message_type is not None:
        return _Late(field.message_type)
    if field.enum_type is not None:
        return _enum_reader(field.enum_type)
    return _finite if field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE else None


def _items_reader(single: Read) -> Read:
    def read(values: Any) -> object:
        items: list[object] = []
        try:
            for value in values:
                items.append(single(value))
        except DocumentError as error:
            raise error.within(f"[{len(items)}]") from None
        return items

    return read


def _map_reader(field: FieldDescriptor) -> Read:
    if field.name == EXTRA_JSON:
        return lambda texts: {name: read_text(text) for name, text in texts.items()}
    single = _single_reader(_message_type(field).fields_by_name["value"])
    if single is None:
        return dict
    return lambda values: {name: single(value) for name, value in values.items()}


def _enum_reader(enum: EnumDescriptor) -> Read:
    texts = enum_texts(enum)

    def read(number: int) -> str:
        try:
            return texts[number]
        except KeyError:
            raise DocumentError("expected a named value of the enumeration") from None

    return read


def _finite(number: float) -> float:
    if not isfinite(number):
        raise DocumentError("NaN and Infinity are not JSON numbers")
    return number


def _message_type(field: FieldDescriptor) -> Descriptor:
    if field.message_type is None:
        raise TypeError(f"{field.full_name} holds no message")
    return field.message_type
