"""What a protobuf message looks like as JSON: object, union, array or envelope (see common.proto).

Knows: the conventions of protos/broker/v1. Must not know: values, operations, sockets.
"""

from __future__ import annotations

from enum import StrEnum

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

EXTRA = "extra"
EXTRA_JSON = "extra_json"
STRUCT = "google.protobuf.Struct"
MAX_EXACT = 2**53  # RFC 7493, 2.2: beyond it a double, all that a Struct has, does not tell integers apart


class MessageShape(StrEnum):
    """How the fields of a message make one JSON value."""

    OBJECT = "object"
    UNION = "union"
    ARRAY = "array"
    ENVELOPE = "envelope"


class DocumentError(ValueError):
    """A message and a JSON document cannot be translated. `param` is the place, in OpenAI's spelling.

    The message names the defect and never quotes a value.
    """

    def __init__(self, what: str, param: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.param = param

    def within(self, place: str) -> DocumentError:
        """The same defect, seen from the value that holds `place`.

        >>> DocumentError("bad", "[0].role").within("messages").param
        'messages[0].role'
        """
        joint = "." if self.param and not self.param.startswith("[") else ""
        return DocumentError(self.what, f"{place}{joint}{self.param}")


class MisfitError(ValueError):
    """A JSON value that the typed field cannot hold exactly: it belongs into `extra`."""


def shape_of(descriptor: Descriptor) -> MessageShape:
    """The shape of a message. Raises TypeError for a message that follows no convention."""
    fields = descriptor.fields
    if EXTRA in descriptor.fields_by_name and EXTRA_JSON in descriptor.fields_by_name:
        return MessageShape.OBJECT
    if len(descriptor.oneofs) == 1 and len(descriptor.oneofs[0].fields) == len(fields):
        return MessageShape.UNION
    if len(fields) == 1 and fields[0].is_repeated:
        return MessageShape.ARRAY
    if len(fields) == 1 and fields[0].message_type is not None:
        return MessageShape.ENVELOPE
    raise TypeError(f"{descriptor.full_name} is neither object, union, array nor envelope")


def is_map(field: FieldDescriptor) -> bool:
    """Whether the field is a `map<string, …>`."""
    entry = field.message_type
    return entry is not None and entry.GetOptions().map_entry


def enum_texts(enum: EnumDescriptor) -> dict[int, str]:
    """Number → OpenAI's lower-case word, without `…_UNSPECIFIED`, which no document holds."""
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return {value.number: value.name.removeprefix(prefix).lower() for value in enum.values if value.number}
