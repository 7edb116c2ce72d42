"""How far a log went, as its writer remembers it beside its keys: whoever holds the log's disk cannot change
it.

Knows the value and its file form: two slots, written in turn, so that a torn write leaves the other. Must not
know files, or how a log is read.

A slot is `BMEM ‖ turn (8) ‖ size (8) ‖ covered (1) ‖ SHA-256 of the origin (32) ‖ leaf hash (32) ‖ CRC-32 of
all that (4)`, big-endian, filled with zeros to 512 bytes: one sector of a disk.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from functools import lru_cache
from zlib import crc32

from broker.tlog.malformed import MalformedError
from broker.tlog.merkle import HASH_BYTES

SLOT_BYTES = 512
_MAGIC = b"BMEM"
_BODY = struct.Struct(f">4sQQ?32s{HASH_BYTES}s")
_CHECK = struct.Struct(">I")
_NO_LEAF = bytes(HASH_BYTES)


@dataclass(frozen=True, slots=True)
class Remembered:
    """The log `origin` had `size` acknowledged entries; `leaf` is the leaf hash of the last one (zeros where
    there is none). `covered` says that a checkpoint covered them all, so that nothing stood in the
    write-ahead log alone. `turn` counts what was remembered before.
    """

    origin: str
    size: int = 0
    leaf: bytes = _NO_LEAF
    covered: bool = False
    turn: int = 0

    def then(self, size: int, leaf: bytes, *, covered: bool = False) -> Remembered:
        """What is remembered after this."""
        return Remembered(self.origin, size, leaf, covered, self.turn + 1)

    def slot(self) -> tuple[int, bytes]:
        """Where in the file it is written, and its 512 bytes."""
        body = _BODY.pack(_MAGIC, self.turn, self.size, self.covered, _digest(self.origin), self.leaf)
        whole = body + _CHECK.pack(crc32(body))
        return self.turn % 2 * SLOT_BYTES, whole.ljust(SLOT_BYTES, b"\0")


def parse_remembered(data: bytes, origin: str) -> Remembered:
    """The newest slot of a file that is whole. Raises MalformedError where none is, or for another log's."""
    slots = [_slot(data[at : at + SLOT_BYTES], origin) for at in (0, SLOT_BYTES)]
    found = max((slot for slot in slots if slot is not None), key=lambda slot: slot.turn, default=None)
    if found is None:
        raise MalformedError("the memory of what was signed last is damaged, or is another log's")
    return found


def _slot(data: bytes, origin: str) -> Remembered | None:
    if len(data) != SLOT_BYTES:
        return None
    body, (check,) = data[: _BODY.size], _CHECK.unpack_from(data, _BODY.size)
    magic, turn, size, covered, digest, leaf = _BODY.unpack(body)
    if magic != _MAGIC or check != crc32(body) or digest != _digest(origin):
        return None
    return Remembered(origin, size, leaf, covered, turn)


@lru_cache(maxsize=4)  # asked for with each batch
def _digest(origin: str) -> bytes:
    return hashlib.sha256(origin.encode()).digest()
