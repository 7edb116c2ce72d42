"""Messages of broker.v1 ↔ JSON documents as OpenAI documents them, without loss in either direction.

Knows: the two directions and their errors. Must not know: operations, sockets, policy.
The plans are compiled from the descriptors once per type; protos/broker/v1/common.proto states the rules.
"""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import Message

from broker.listeners.grpc.reading import reader
from broker.listeners.grpc.shapes import DocumentError, MisfitError
from broker.listeners.grpc.writing import writer

AnyMessage = TypeVar("AnyMessage", bound=Message)

__all__ = ["DocumentError", "from_document", "to_document"]


def to_document(message: Message) -> dict[str, object]:
    """The JSON object that `message` stands for: what is set, and nothing that is not.

    Raises DocumentError, naming the parameter, where the message stands for no JSON object: NaN, an
    unspecified enum value, an empty union, malformed extra_json, or a field given twice.

    >>> from broker.gen.broker.v1.openai_pb2 import CreateEditRequest
    >>> to_document(CreateEditRequest(model="gpt-4o", temperature=0, extra={"new": None}))
    {'model': 'gpt-4o', 'temperature': 0.0, 'new': None}
    """
    document = reader(message.DESCRIPTOR)(message)
    if not isinstance(document, dict):
        raise DocumentError("expected a JSON object")
    return document


def from_document(message_type: type[AnyMessage], document: object) -> AnyMessage:
    """The message that stands for `document`; `to_document` gives an equal document back.

    What a typed field cannot hold exactly is kept in `extra` or `extra_json`. Raises DocumentError
    when `document` is no JSON object, or nested too deeply for this process.

    >>> from broker.gen.broker.v1.openai_pb2 import CreateEditRequest
    >>> from_document(CreateEditRequest, {"n": 2, "new": 2**60})
    n: 2
    extra_json {
      key: "new"
      value: "1152921504606846976"
    }
    <BLANKLINE>
    """
    kind, write = writer(message_type.DESCRIPTOR)
    if type(document) is not kind or write is None:
        raise DocumentError("expected a JSON object")
    try:
        arguments = write(document)
    except (MisfitError, RecursionError):
        raise DocumentError("the document cannot be expressed as this message") from None
    return message_type(**arguments)  # type: ignore[arg-type]
