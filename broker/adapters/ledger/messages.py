"""What a ledger and its writer say to each other, as messages on a socket.

Knows how a message is told from the next. Must not know what one says, who carries them or what is done
about them. A message is `kind (1) ‖ length (4) ‖ payload`, big-endian. Both ends are this program, in one
version. Whoever sends no more ends its half of the socket.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

import orjson

_HEADER = struct.Struct(">BI")


class MessageType(IntEnum):
    """The kinds of messages. OPEN, JOIN, SUBMIT, PING, LIMITS, BEGIN_TERM go to the writer, the others come
    from it.
    """

    OPEN = 1
    SUBMIT = 2
    OPENED = 3
    REFUSED = 4
    ANSWER = 5
    LOST = 6
    PING = 7
    PONG = 8
    JOIN = 9
    REVOKED = 10
    LIMITS = 11
    LIMITS_TOLD = 12
    BEGIN_TERM = 13
    HELD = 14


@dataclass(frozen=True, slots=True)
class WriterMessage:
    """One message. `payload` may hold keys (OPEN) and records (SUBMIT)."""

    says: MessageType
    payload: bytes = field(repr=False)

    def encode(self) -> bytes:
        """Its bytes on the socket."""
        return _HEADER.pack(self.says, len(self.payload)) + self.payload


class WriterMessages:
    """Cuts a stream of bytes into messages."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[WriterMessage]:
        """The messages that `data` completes."""
        data, begin = self._rest + data, 0
        while len(data) - begin >= _HEADER.size:
            number, length = _HEADER.unpack_from(data, begin)
            end = begin + _HEADER.size + length
            if end > len(data):
                break
            yield WriterMessage(MessageType(number), data[begin + _HEADER.size : end])
            begin = end
        self._rest = data[begin:]


def lost(error: OSError) -> WriterMessage:
    """LOST: nothing will be durable any more."""
    return WriterMessage(MessageType.LOST, f"the disk refused ({error.strerror})".encode())


def revoked(token_id: str, until: int) -> WriterMessage:
    """REVOKED: refuse this token up to this unix second."""
    return WriterMessage(MessageType.REVOKED, orjson.dumps([token_id, until]))


def parse_revoked(payload: bytes) -> tuple[str, int]:
    """The token and the second of a REVOKED message."""
    token_id, until = orjson.loads(payload)
    return str(token_id), int(until)
