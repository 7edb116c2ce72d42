"""Request bytes → message, for RPCs that are not calls.

Knows: protobuf. Must not know: any RPC.
"""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from broker.errors import BrokerError, Kind
from broker.listeners.fields import refuse

MAX_BYTES = 272 * 1024
"""Of a request that is no call. The longest is an input to explain: 64 Ki characters, 4 bytes each."""
AnyMessage = TypeVar("AnyMessage", bound=Message)


def parse(message_type: type[AnyMessage], raw: bytes) -> AnyMessage:
    """The message. Raises BAD_REQUEST, param `body`, or TOO_LARGE."""
    if len(raw) > MAX_BYTES:
        raise BrokerError(Kind.TOO_LARGE, f"The message is larger than {MAX_BYTES} bytes.", param="body")
    try:
        return message_type.FromString(raw)
    except DecodeError:
        raise refuse("body", "it is not a message of this RPC") from None
