"""What a ledger and its writer say to each other, as bytes on a socket.

Knows the form of each message. Must not know who carries them or what is done about them. A message is
`kind (1) ‖ length (4) ‖ payload`, big-endian. Both ends are this program, in one version.
Whoever sends no more ends its half of the socket.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import islice
from pathlib import Path

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from broker.adapters.ledger.keys import LogKeys
from broker.adapters.ledger.wal import Snapshot
from broker.adapters.ledger.writer import SequencedEntry
from broker.errors import BrokerError, Kind
from broker.model.charge import UNITS, Taken
from broker.model.record import Record, RecordType
from broker.tlog import canonical
from broker.tlog.entry import Entry, Unsigned, parse_entry
from broker.tlog.malformed import MalformedError
from broker.tlog.merkle import HASH_BYTES

_HEADER = struct.Struct(">BI")
_PLACED = struct.Struct(">QBHI")
_KINDS = tuple(RecordType)
_WINDOWS = 2000
_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}


class MessageType(IntEnum):
    """The kinds of messages: OPEN, ENTRIES and PING go to the writer, the others come from it. SPENT comes
    before OPENED, as often as it takes.
    """

    OPEN = 1
    ENTRIES = 2
    OPENED = 3
    REFUSED = 4
    DURABLE = 5
    LOST = 6
    PING = 7
    PONG = 8
    SPENT = 9


@dataclass(frozen=True, slots=True)
class WriterMessage:
    """One message. `payload` may hold keys (OPEN) and records (ENTRIES)."""

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


@dataclass(frozen=True, slots=True)
class Opening:
    """Which log the writer is to open, the keys it signs with, and the folder where it remembers what it
    did.
    """

    directory: Path
    memory: Path
    origin: str
    keys: LogKeys = field(repr=False)
    segment_bytes: int

    def message(self) -> WriterMessage:
        """OPEN."""
        document = {
            "directory": os.fsencode(self.directory).hex(),
            "memory": os.fsencode(self.memory).hex(),
            "origin": self.origin,
            "checkpoint": self.keys.checkpoint.private_bytes_raw().hex(),
            "record": self.keys.record.private_bytes_raw().hex(),
            "segment_bytes": self.segment_bytes,
        }
        return WriterMessage(MessageType.OPEN, canonical.encode(document))

    @classmethod
    def parse(cls, message: WriterMessage) -> Opening:
        """Back again. Raises MalformedError for another message."""
        match message.says, canonical.decode(message.payload):
            case MessageType.OPEN, {
                "directory": str() as directory,
                "memory": str() as memory,
                "origin": str() as origin,
                "checkpoint": str() as checkpoint,
                "record": str() as record,
                "segment_bytes": int() as segment_bytes,
            }:
                keys = LogKeys(_key(checkpoint), _key(record))
                return cls(_path(directory), _path(memory), origin, keys, segment_bytes)
        raise MalformedError("a writer that was not told which log to open")


@dataclass(frozen=True, slots=True)
class OpenedLog:
    """What the log holds: `size` entries, signed with `public_key` at last, and intents without outcome.
    `revoked` is as Snapshot has it, `unremembered` as Recovered has it. `spent` is what is taken of limits,
    `recounted` tells that the whole log had to be read for that.
    """

    size: int
    public_key: str | None
    revoked: tuple[tuple[str, int], ...]
    dangling: tuple[Record, ...]
    unremembered: bool
    spent: tuple[Taken, ...]
    recounted: bool


def opened(
    snapshot: Snapshot, dangling: Iterable[Entry], *, unremembered: bool, recounted: bool
) -> WriterMessage:
    """OPENED."""
    document = {
        "size": snapshot.base,
        "public_key": snapshot.public_key,
        "revoked": [list(pair) for pair in snapshot.revoked or ()],
        "dangling": [entry.encode().decode() for entry in dangling],
        "unremembered": unremembered,
        "recounted": recounted,
    }
    return WriterMessage(MessageType.OPENED, canonical.encode(document))


def parse_opened(message: WriterMessage, spent: Iterable[Taken]) -> OpenedLog:
    """`spent` is what came before it. Raises the BrokerError that the writer refused with."""
    match message.says, canonical.decode(message.payload):
        case MessageType.OPENED, {
            "size": int() as size,
            "public_key": str() | None as public_key,
            "revoked": list() as revoked,
            "dangling": list() as dangling,
            "unremembered": bool() as unremembered,
            "recounted": bool() as recounted,
        }:
            intents = tuple(parse_entry(str(text).encode()).record for text in dangling)
            tokens = tuple((str(token_id), int(str(until))) for token_id, until in revoked)
            return OpenedLog(size, public_key, tokens, intents, unremembered, tuple(spent), recounted)
        case MessageType.REFUSED, {"message": str() as text, "remedy": str() as remedy}:
            raise BrokerError(Kind.AUDIT_UNAVAILABLE, text, remedy=remedy)
    raise MalformedError("a writer that did not say what it opened")


def spent(windows: Iterable[Taken]) -> Iterator[WriterMessage]:
    """SPENT: some thousand windows each."""
    rest = iter(windows)
    while several := [list(each) for each in islice(rest, _WINDOWS)]:
        yield WriterMessage(MessageType.SPENT, orjson.dumps(several))


def parse_spent(payload: bytes) -> list[Taken]:
    """The windows of a SPENT message. Raises MalformedError."""
    match canonical.look(payload):
        case list() as windows:
            return [Taken(limit, UNITS[unit], *numbers) for limit, unit, *numbers in windows]
    raise MalformedError("a writer that did not say what was spent")


def refused(error: BrokerError) -> WriterMessage:
    """REFUSED: the log was not opened, and nothing was changed."""
    return WriterMessage(
        MessageType.REFUSED, canonical.encode({"message": error.message, "remedy": error.remedy})
    )


def entries(batch: Sequence[SequencedEntry]) -> WriterMessage:
    """ENTRIES, in their order."""
    parts: list[bytes] = []
    for placed in batch:
        call_id, message = placed.call_id.encode(), placed.unsigned.message
        parts += (
            _PLACED.pack(placed.seq, _NUMBERS[placed.kind], len(call_id), len(message)),
            call_id,
            message,
        )
    return WriterMessage(MessageType.ENTRIES, b"".join(parts))


def parse_entries(payload: bytes) -> Iterator[SequencedEntry]:
    """The entries of an ENTRIES message."""
    at = 0
    while at < len(payload):
        seq, number, call_id_bytes, message_bytes = _PLACED.unpack_from(payload, at)
        at += _PLACED.size
        middle, end = at + call_id_bytes, at + call_id_bytes + message_bytes
        unsigned = Unsigned(payload[middle:end], seq)
        yield SequencedEntry(seq, _KINDS[number], payload[at:middle].decode(), unsigned)
        at = end


def durable(leaves: Iterable[bytes]) -> WriterMessage:
    """DURABLE: the leaf hashes of the next entries, in order."""
    return WriterMessage(MessageType.DURABLE, b"".join(leaves))


def parse_durable(payload: bytes) -> list[bytes]:
    """The leaf hashes of a DURABLE message."""
    return [payload[at : at + HASH_BYTES] for at in range(0, len(payload), HASH_BYTES)]


def lost(error: OSError) -> WriterMessage:
    """LOST: nothing will be durable any more."""
    return WriterMessage(MessageType.LOST, f"the disk refused ({error.strerror})".encode())


def _path(name: str) -> Path:
    return Path(os.fsdecode(bytes.fromhex(name)))


def _key(seed: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))
