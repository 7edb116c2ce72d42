"""How a writer is told which log to open, and tells what it found there, also to who joins later.

Knows the form of OPEN and JOIN, and what answers them. Must not know who carries them, or what is done about
them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from broker.adapters.ledger.keys import LogKeys
from broker.adapters.ledger.messages import MessageType, WriterMessage
from broker.adapters.ledger.segments import SEGMENT_BYTES
from broker.errors import BrokerError, Kind
from broker.tlog import canonical
from broker.tlog.malformed import MalformedError


@dataclass(frozen=True, slots=True)
class Opening:
    """Which log the writer is to open, the keys it signs with, and the folder where it remembers what it
    did. `instance` names the run of the broker that begins; `certifications` are of keys that are used from
    now on.
    """

    directory: Path
    memory: Path
    origin: str
    keys: LogKeys = field(repr=False)
    instance: str
    certifications: tuple[str, ...] = ()
    segment_bytes: int = SEGMENT_BYTES

    def message(self) -> WriterMessage:
        """OPEN."""
        document = {
            "directory": os.fsencode(self.directory).hex(),
            "memory": os.fsencode(self.memory).hex(),
            "origin": self.origin,
            "checkpoint": self.keys.checkpoint.private_bytes_raw().hex(),
            "record": self.keys.record.private_bytes_raw().hex(),
            "segment_bytes": self.segment_bytes,
            "instance": self.instance,
            "certifications": list(self.certifications),
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
                "instance": str() as instance,
                "certifications": list() as certifications,
            }:
                keys = LogKeys(_key(checkpoint), _key(record))
                texts = tuple(map(str, certifications))
                return cls(_path(directory), _path(memory), origin, keys, instance, texts, segment_bytes)
        raise MalformedError("a writer that was not told which log to open")


@dataclass(frozen=True, slots=True)
class OpenedLog:
    """What the log holds: `size` entries, those of this start included. `revoked` is as Snapshot has it,
    `unremembered` as Recovered has it. `windows` is of how many something is taken, `recounted` tells that
    the whole log had to be read for that. `vkey` verifies its checkpoints, `kid` names the key of its entries
    from now on, and `instance` the run of the broker that makes them.
    """

    vkey: str
    kid: str
    instance: str
    size: int
    revoked: tuple[tuple[str, int], ...]
    unremembered: bool
    windows: int
    recounted: bool

    def message(self) -> WriterMessage:
        """OPENED."""
        document = {
            "vkey": self.vkey,
            "kid": self.kid,
            "instance": self.instance,
            "size": self.size,
            "revoked": [list(pair) for pair in self.revoked],
            "unremembered": self.unremembered,
            "windows": self.windows,
            "recounted": self.recounted,
        }
        return WriterMessage(MessageType.OPENED, canonical.encode(document))

    @classmethod
    def parse(cls, message: WriterMessage) -> OpenedLog:
        """Back again. Raises the BrokerError that the writer refused with."""
        match message.says, canonical.decode(message.payload):
            case MessageType.OPENED, {
                "vkey": str() as vkey,
                "kid": str() as kid,
                "instance": str() as instance,
                "size": int() as size,
                "revoked": list() as revoked,
                "unremembered": bool() as unremembered,
                "windows": int() as windows,
                "recounted": bool() as recounted,
            }:
                tokens = tuple((str(token_id), int(str(until))) for token_id, until in revoked)
                return cls(vkey, kid, instance, size, tokens, unremembered, windows, recounted)
            case MessageType.REFUSED, {"message": str() as text, "remedy": str() as remedy}:
                raise BrokerError(Kind.AUDIT_UNAVAILABLE, text, remedy=remedy)
        raise MalformedError("a writer that did not say what it opened")


def joining() -> WriterMessage:
    """JOIN: the log is open already."""
    return WriterMessage(MessageType.JOIN, b"{}")


def refused(error: BrokerError) -> WriterMessage:
    """REFUSED: the log was not opened, and nothing was changed."""
    return WriterMessage(
        MessageType.REFUSED, canonical.encode({"message": error.message, "remedy": error.remedy})
    )


def _path(name: str) -> Path:
    return Path(os.fsdecode(bytes.fromhex(name)))


def _key(seed: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))
