"""The write-ahead log as bytes: segments of frames, one frame for each synced batch.

Knows the format and what a crash may leave of it. Must not know threads or who writes. A segment file is
named by the seq it begins at and starts with a snapshot of what the entries before it leave behind, so that
recovery reads one or two segments, however long the log.

A frame is `magic ‖ first seq (8) ‖ payload length (4) ‖ CRC-32 of payload (4) ‖ CRC-32 of the header (4) ‖
payload`, big-endian; behind the last one there may be zeros. CRCs find torn writes, not attackers: those meet
the entries' signatures.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from mmap import mmap
from zlib import crc32

from broker.tlog import canonical
from broker.tlog.malformed import MalformedError
from broker.tlog.tile import encode_bundle, parse_entries

BATCH = b"BWAL"
SNAPSHOT = b"BSEG"
_HEADER = struct.Struct(">4sQII")
_CHECK = struct.Struct(">I")
_ZEROS = bytes(64 * 1024)
_HEADER_BYTES = _HEADER.size + _CHECK.size


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the entries before `base` leave behind: the record key in force, the open intents, and the revoked
    tokens that may live on (id, unix second until which to remember it). `revoked` is None where an older
    version wrote it.
    """

    base: int = 0
    public_key: str | None = None
    open_intents: tuple[tuple[str, int], ...] = ()
    revoked: tuple[tuple[str, int], ...] | None = ()

    def encode(self) -> bytes:
        """The first frame of a segment."""
        document: dict[str, object] = {
            "public_key": self.public_key,
            "open_intents": [list(pair) for pair in self.open_intents],
        }
        if self.revoked is not None:
            document["revoked"] = [list(pair) for pair in self.revoked]
        return _frame(SNAPSHOT, self.base, canonical.encode(document))


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment read back. `torn` tells that a last, never acknowledged frame was dropped."""

    snapshot: Snapshot
    entries: tuple[bytes, ...]
    torn: bool

    @property
    def end(self) -> int:
        """The seq after its last entry."""
        return self.snapshot.base + len(self.entries)


def encode_batch(first_seq: int, entries: Sequence[bytes]) -> bytes:
    """One frame; written and synced as a whole before any of its entries is acknowledged."""
    return _frame(BATCH, first_seq, encode_bundle(entries))


def parse_segment(data: bytes) -> Segment:
    """Reads a segment up to its torn end, if it has one.

    A frame that does not check is torn when nothing readable follows it: a crash can only damage the last
    one. Raises MalformedError for damage anywhere else, and for frames that do not join.
    """
    first = _read_frame(data, 0)
    if first is None:
        raise MalformedError("a write-ahead segment without its snapshot")
    snapshot = _parse_snapshot(first)
    entries: list[bytes] = []
    offset = first.end
    while offset < len(data):
        frame = _read_frame(data, offset)
        if frame is None:
            if _only_zeros(data, offset):
                break  # what a segment is filled with before it is written
            if _readable_after(data, offset + 1):
                raise MalformedError("a write-ahead segment that is damaged before its end")
            return Segment(snapshot, tuple(entries), torn=True)
        if frame.magic != BATCH or frame.first_seq != snapshot.base + len(entries):
            raise MalformedError("a write-ahead segment whose frames do not join")
        entries += parse_entries(frame.payload)
        offset = frame.end
    return Segment(snapshot, tuple(entries), torn=False)


def entries_after(data: bytes | mmap, after: int) -> list[tuple[int, bytes]]:
    """(seq, entry) of a segment with seq ≥ `after`, up to the first frame that cannot be read. Frames that
    hold none of these are not looked into.
    """
    frames = list(_batches(data))
    wanted = [place for place, following in zip_longest(frames, frames[1:]) if _reaches(following, after)]
    found: list[tuple[int, bytes]] = []
    for offset, first_seq in wanted:
        frame = _read_frame(data, offset)
        if frame is None:
            break
        found += enumerate(parse_entries(frame.payload), first_seq)
    return [(seq, entry) for seq, entry in found if seq >= after]


def _batches(data: bytes | mmap) -> Iterator[tuple[int, int]]:
    """(offset, first seq) of each batch whose header is whole."""
    offset = 0
    while (header := _read_header(data, offset)) is not None:
        magic, first_seq, length, _ = header
        if magic == BATCH:
            yield offset, first_seq
        offset += _HEADER_BYTES + length


def _reaches(following: tuple[int, int] | None, after: int) -> bool:
    """Whether the batch before `following` may hold the seq `after` or a later one."""
    return following is None or following[1] > after


@dataclass(frozen=True, slots=True)
class _Frame:
    magic: bytes
    first_seq: int
    payload: bytes
    end: int


def _frame(magic: bytes, first_seq: int, payload: bytes) -> bytes:
    header = _HEADER.pack(magic, first_seq, len(payload), crc32(payload))
    return b"".join((header, _CHECK.pack(crc32(header)), payload))


def _read_frame(data: bytes | mmap, offset: int) -> _Frame | None:
    header = _read_header(data, offset)
    if header is None:
        return None
    magic, first_seq, length, check = header
    start = offset + _HEADER_BYTES
    payload = data[start : start + length]
    if magic not in {BATCH, SNAPSHOT} or len(payload) != length or crc32(payload) != check:
        return None
    return _Frame(magic, first_seq, payload, start + length)


def _read_header(data: bytes | mmap, offset: int) -> tuple[bytes, int, int, int] | None:
    """Magic, first seq, payload length and the payload's check."""
    if offset + _HEADER_BYTES > len(data):
        return None
    header = data[offset : offset + _HEADER.size]
    if _CHECK.unpack_from(data, offset + _HEADER.size)[0] != crc32(header):
        return None
    magic, first_seq, length, check = _HEADER.unpack(header)
    return magic, first_seq, length, check


def _only_zeros(data: bytes, offset: int) -> bool:
    """Comparing blocks takes a fiftieth of counting zeros: a young segment has 8 MiB of them."""
    pieces = (data[at : at + len(_ZEROS)] for at in range(offset, len(data), len(_ZEROS)))
    return all(piece == _ZEROS[: len(piece)] for piece in pieces)


def _readable_after(data: bytes, offset: int) -> bool:
    while (offset := data.find(BATCH, offset)) >= 0:
        if _read_frame(data, offset) is not None:
            return True
        offset += 1
    return False


def _parse_snapshot(frame: _Frame) -> Snapshot:
    document = canonical.decode(frame.payload) if frame.magic == SNAPSHOT else None
    match document:
        case {"public_key": str() | None as public_key, "open_intents": list() as intents, **more}:
            revoked = more.get("revoked")
            tokens = _parse_pairs(revoked) if isinstance(revoked, list) else None
            return Snapshot(frame.first_seq, public_key, _parse_pairs(intents), tokens)
    raise MalformedError("a write-ahead segment with a malformed snapshot")


def _parse_pairs(values: list[object]) -> tuple[tuple[str, int], ...]:
    return tuple(_parse_pair(value) for value in values)


def _parse_pair(value: object) -> tuple[str, int]:
    match value:
        case [str() as name, int() as number]:
            return name, number
    raise MalformedError("a write-ahead segment with a malformed snapshot")
