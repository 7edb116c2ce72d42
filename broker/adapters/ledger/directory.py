"""A log directory, read-only: what the verifier, the command line and recovery see of it.

Knows the layout `checkpoint`, `tile/…`, `log.vkey`, `wal/…`, `certified/…`. Takes no lock and may be used
while a writer appends, on a copy, or on a mounted backup. Must not know who writes.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from broker.adapters.ledger.wal import Segment, entries_after, parse_segment
from broker.tlog.malformed import MalformedError
from broker.tlog.merkle import HASH_BYTES
from broker.tlog.tile import ENTRIES, WIDTH, Tile, parse_entries

CHECKPOINT = "checkpoint"
VKEY = "log.vkey"
WAL = "wal"
CERTIFIED = "certified"
CERTIFIED_CHECKPOINT = f"{CERTIFIED}/checkpoint"
_SEGMENT_DIGITS = 20
_LIVE_ATTEMPTS = 5


def segment_name(base: int) -> str:
    """The path of the segment that begins at seq `base`."""
    return f"{WAL}/{base:0{_SEGMENT_DIGITS}d}"


class LogDirectory:
    """Implements `tlog.verify.LogReader`. Blocking; raises OSError, and MalformedError for a damaged log."""

    __slots__ = ("root",)

    def __init__(self, root: Path) -> None:
        self.root = root

    def vkey(self) -> str | None:
        """The text of `log.vkey`; None when there is none. Trust it only as far as you trust the
        directory.
        """
        content = _read(self.root / VKEY)
        return None if content is None else content.decode("utf-8", "replace").removesuffix("\n")

    def checkpoint(self) -> bytes | None:
        """The signed checkpoint, unverified; None when there is none yet."""
        return _read(self.root / CHECKPOINT)

    def certified_checkpoint(self) -> bytes | None:
        """The newest checkpoint that the certifier signed, too, unverified; None when there is none."""
        return _read(self.root / CERTIFIED_CHECKPOINT)

    def certification(self, name: str) -> bytes | None:
        """The certification kept under `name`, unverified; None when there is none."""
        return _read(self.root / CERTIFIED / name)

    def tile(self, tile: Tile) -> bytes | None:
        """The tile's or bundle's file; None when there is none."""
        return _read(self.root / tile.path)

    def hashes(self, tile: Tile) -> bytes:
        """The hashes of a tile that the log has, or had until it became full. Raises MalformedError when
        missing.
        """
        content = self.tile(tile)
        if content is None and (content := self.tile(tile.full())) is None:
            raise MalformedError(f"the tile {tile.path} is missing")
        return content[: tile.width * HASH_BYTES]

    def paths(self) -> Iterator[str]:
        """Every file under `tile/`, whatever its name."""
        for directory, _, names in os.walk(self.root / "tile"):
            for name in names:
                yield (Path(directory) / name).relative_to(self.root).as_posix()

    def bundle(self, index: int, size: int) -> list[bytes]:
        """The entries of bundle `index` that a log of `size` entries has. Raises MalformedError, also when
        missing.
        """
        return parse_entries(self.bundle_bytes(index, size))[: Tile(ENTRIES, index).width_in(size)]

    def bundle_bytes(self, index: int, size: int) -> bytes:
        """The file of bundle `index` that a log of `size` entries has; it may hold more. Raises
        MalformedError when missing.
        """
        tile = Tile(ENTRIES, index)
        content = self.tile(Tile(ENTRIES, index, tile.width_in(size)))
        # The partial bundle may have become full, and been removed, since `size` was read.
        if content is None and (content := self.tile(tile)) is None:
            raise MalformedError(f"the entry bundle {tile.path} is missing")
        return content

    def entries(self, seq: int = 0) -> Iterator[tuple[int, bytes]]:
        """(seq, entry) of the log from `seq` on, unverified: what bundles hold, then what the write-ahead log
        holds.

        Raises MalformedError when they do not join.
        """
        for _ in range(_LIVE_ATTEMPTS):
            size = self.covered_size()
            while seq < size:
                for entry in self.bundle(seq // WIDTH, size)[seq % WIDTH :]:
                    yield seq, entry
                    seq += 1
            tail = self.tail(seq)
            if not tail or tail[0][0] == seq:
                yield from tail
                return
        raise MalformedError("the write-ahead log does not join the entry bundles")

    def size(self) -> int:
        """How many entries there are, whether or not a checkpoint covers them, unverified. Raises
        MalformedError.
        """
        covered = self.covered_size()
        tail = self.tail(covered)
        return tail[-1][0] + 1 if tail else covered

    def segment_bases(self) -> list[int]:
        """Where each segment begins, ascending."""
        try:
            names = os.listdir(self.root / WAL)
        except FileNotFoundError:
            return []
        return sorted(int(name) for name in names if len(name) == _SEGMENT_DIGITS and name.isdecimal())

    def segment(self, base: int) -> Segment:
        """Reads one segment. Raises FileNotFoundError when it is gone, MalformedError when it is damaged."""
        segment = parse_segment((self.root / segment_name(base)).read_bytes())
        if segment.snapshot.base != base:
            raise MalformedError("a write-ahead segment under another segment's name")
        return segment

    def segments(self, after: int) -> list[Segment]:
        """The segments that hold the entries from `after` on, joined without gap.

        Begins with the newest that starts at or before `after` (or the oldest there is). Only the last may be
        torn. Raises MalformedError when they do not join.
        """
        bases = self.segment_bases()
        start = max([base for base in bases if base <= after], default=bases[0] if bases else 0)
        found: list[Segment] = []
        for base in bases:
            if base < start:
                continue
            if found and found[-1].end != base:
                raise MalformedError("write-ahead segments that do not join")
            found.append(self.segment(base))
        return found

    def tail(self, after: int) -> Sequence[tuple[int, bytes]]:
        """(seq, entry) of what the write-ahead log holds with seq ≥ `after`."""
        for _ in range(_LIVE_ATTEMPTS):
            try:
                segments = self.segments(after)
            except FileNotFoundError:  # a live writer integrated and removed it meanwhile: look again
                continue
            numbered = [
                pair for segment in segments for pair in enumerate(segment.entries, segment.snapshot.base)
            ]
            return [(seq, entry) for seq, entry in numbered if seq >= after]
        raise MalformedError("write-ahead segments that vanish while they are read")

    def recent(self, after: int) -> Sequence[tuple[int, bytes]]:
        """As `tail`, without a look at the frames before: for a log whose writer is at work."""
        for _ in range(_LIVE_ATTEMPTS):
            bases = self.segment_bases()
            start = max([base for base in bases if base <= after], default=0)
            try:
                return [
                    pair for base in bases if base >= start for pair in self._after(segment_name(base), after)
                ]
            except FileNotFoundError:
                continue
        raise MalformedError("write-ahead segments that vanish while they are read")

    def _after(self, name: str, after: int) -> list[tuple[int, bytes]]:
        """Mapped: of a segment's 8 MiB only a little is looked at."""
        with (
            (self.root / name).open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            return entries_after(data, after)

    def covered_size(self) -> int:
        """How many entries the checkpoint says there are, unverified; 0 where there is none. Raises
        MalformedError.
        """
        note = self.checkpoint()
        lines = note.split(b"\n") if note is not None else [b"", b"0"]
        if len(lines) < len(("origin", "size")) or not lines[1].isdigit():
            raise MalformedError("a malformed checkpoint")
        return int(lines[1])


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return None
