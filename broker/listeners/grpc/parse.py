"""Request bytes → message, for RPCs that are not calls.

Knows: protobuf. Must not know: any RPC.
"""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from broker.listeners.fields import refuse

AnyMessage = TypeVar("AnyMessage", bound=Message)


def parse(message_type: type[AnyMessage], raw: bytes) -> AnyMessage:
    """The message. Raises BAD_REQUEST, param `body`."""
    try:
        return message_type.FromString(raw)
    except DecodeError:
        raise refuse("body", "it is not a message of this RPC") from None
