"""JSON document → constructor arguments of a message, by a plan compiled once per message type.

Knows: shapes, and that what does not fit exactly goes into `extra`. Must not know: operations.
The arguments are plain nested dicts: the protobuf runtime builds the whole message from them in C.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from broker.listeners.grpc.shapes import (
    EXTRA,
    EXTRA_JSON,
    MAX_EXACT,
    STRUCT,
    MessageShape,
    MisfitError,
    enum_texts,
    is_map,
    shape_of,
)
from broker.listeners.grpc.structs import is_exact, is_nulls, nulls, split_exact

Write = Callable[[Any], object]
_INT64 = 2**63


class Slot(NamedTuple):
    """How one field takes a JSON value: its exact Python type (None: any), then `write` (None: as it is)."""

    kind: type | None
    write: Write | None


_UNKNOWN = Slot(type("Nothing", (), {}), None)  # no JSON value is of this type: it always goes to `extra`


@cache
def writer(descriptor: Descriptor) -> Slot:
    """How a message of this type takes its JSON value. Its `write` raises MisfitError."""
    if descriptor.full_name == STRUCT:
        return Slot(dict, _exact)
    shape = shape_of(descriptor)
    if shape is MessageShape.OBJECT:
        return Slot(dict, _object_writer(descriptor))
    if shape is MessageShape.UNION:
        return Slot(None, _union_writer(descriptor))
    (field,) = descriptor.fields
    name = field.name
    if shape is MessageShape.ENVELOPE:
        inner = _slot(field)
        return Slot(inner.kind, lambda value: {name: _take(inner, value)})
    items = _single_slot(field)
    return Slot(list, lambda values: {name: _items(items, values)})


def _object_writer(descriptor: Descriptor) -> Write:
    plan: dict[str, Slot] = {}
    slot_of = plan.get

    def write(document: dict[str, object]) -> dict[str, object]:
        if not plan:  # compiled when it is first needed: types may hold themselves
            plan.update((field.name, _slot(field)) for field in descriptor.fields)
            plan.update({EXTRA: _UNKNOWN, EXTRA_JSON: _UNKNOWN})
        arguments: dict[str, object] = {}
        rest: dict[str, object] = {}
        for name, value in document.items():
            kind, convert = slot_of(name, _UNKNOWN)
            if kind is not None and type(value) is not kind:
                rest[name] = value
            elif convert is None:
                arguments[name] = value
            else:
                try:
                    arguments[name] = convert(value)
                except MisfitError:
                    rest[name] = value
        if rest:
            _add_rest(arguments, rest)
        return arguments

    return write


def _add_rest(arguments: dict[str, object], rest: dict[str, object]) -> None:
    if is_nulls(
        rest
    ):  # what nearly every event of a stream has: one copy is cheaper than a new one each time
        arguments[EXTRA] = nulls(*rest)
        return
    extra, texts = split_exact(rest)
    if extra:
        arguments[EXTRA] = extra
    if texts:
        arguments[EXTRA_JSON] = texts


def _union_writer(descriptor: Descriptor) -> Write:
    """Members are tried in the order of the schema; the first that fits exactly takes the value."""
    members = [(field.name, _single_slot(field)) for field in descriptor.fields]

    def write(value: object) -> dict[str, object]:
        for name, slot in members:
            if slot.kind is type(value):
                try:
                    return {name: value if slot.write is None else slot.write(value)}
                except MisfitError:
                    continue
        raise MisfitError

    return write


def _slot(field: FieldDescriptor) -> Slot:
    if is_map(field):
        return Slot(dict, _map_writer(field))
    single = _single_slot(field)
    return Slot(list, lambda values: _some(_items(single, values))) if field.is_repeated else single


def _single_slot(field: FieldDescriptor) -> Slot:
    if field.message_type is not None:
        return _inner(field.message_type)
    if field.enum_type is not None:
        return Slot(str, _enum_writer(field.enum_type))
    return {
        FieldDescriptor.CPPTYPE_STRING: Slot(str, None),
        FieldDescriptor.CPPTYPE_BOOL: Slot(bool, None),
        FieldDescriptor.CPPTYPE_INT64: Slot(int, _int64),
        FieldDescriptor.CPPTYPE_DOUBLE: Slot(None, _double),
    }[field.cpp_type]


def _inner(descriptor: Descriptor) -> Slot:
    """The writer of a message type within another; where it is none that is compiled when it is first needed,
    it is looked up then: types may hold themselves.
    """
    shape = None if descriptor.full_name == STRUCT else shape_of(descriptor)
    if shape in (None, MessageShape.OBJECT):
        return writer(descriptor)
    kind = {MessageShape.UNION: None, MessageShape.ARRAY: list}.get(shape, dict)
    found: list[Write] = []

    def write(value: object) -> object:
        if not found:
            found.append(writer(descriptor).write or _exact)
        return found[0](value)

    return Slot(kind, write)


def _take(slot: Slot, value: object) -> object:
    if slot.kind is not None and type(value) is not slot.kind:
        raise MisfitError
    return value if slot.write is None else slot.write(value)


def _items(slot: Slot, values: list[object]) -> list[object]:
    kind, convert = slot
    if convert is _double or convert is _int64:
        return _numbers(convert, values)
    if kind is not None and values and set(map(type, values)) != {kind}:
        raise MisfitError
    return values if convert is None else [convert(value) for value in values]


def _numbers(convert: Write, values: list[object]) -> list[object]:
    """Vectors and tokens are long: their types are compared as one set, and only odd ones one by one."""
    kinds = set(map(type, values))
    if convert is _double and kinds == {float}:
        return values
    if convert is _int64 and kinds != {int} and kinds:
        raise MisfitError
    return [convert(value) for value in values]


def _some(values: list[object]) -> list[object]:
    """An empty array looks like an absent one in a repeated field: it goes into `extra`."""
    if not values:
        raise MisfitError
    return values


def _map_writer(field: FieldDescriptor) -> Write:
    if field.message_type is None:
        raise TypeError(f"{field.full_name} is no map")
    slot = _single_slot(field.message_type.fields_by_name["value"])

    def write(values: dict[str, object]) -> object:
        if not values:
            raise MisfitError
        return {name: _take(slot, value) for name, value in values.items()}

    return write


def _enum_writer(enum: EnumDescriptor) -> Write:
    numbers = {text: number for number, text in enum_texts(enum).items()}

    def write(text: str) -> int:
        try:
            return numbers[text]
        except KeyError:
            raise MisfitError from None

    return write


def _int64(value: int) -> int:
    if -_INT64 <= value < _INT64:
        return value
    raise MisfitError


def _double(value: object) -> float:
    if type(value) is float:
        return value
    if type(value) is int and -MAX_EXACT <= value <= MAX_EXACT:
        return float(value)
    raise MisfitError


def _exact(value: dict[str, object]) -> dict[str, object]:
    if is_exact(value):
        return value
    raise MisfitError
