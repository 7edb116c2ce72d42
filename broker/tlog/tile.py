"""Tiles and entry bundles of C2SP tlog-tiles: their names, their bytes, and which of them a tree has.

Knows paths, widths and layouts. Must not know files or what an entry says. Level ENTRIES names entry bundles.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from broker.tlog.malformed import MalformedError
from broker.tlog.merkle import HASH_BYTES, CompactRange, NodeHash

WIDTH = 256
HEIGHT = 8
ENTRIES = -1
MAX_LEVEL = 63
MAX_BUNDLED = 2**16 - 1

_PATH = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/(?P<index>(?:x[0-9]{3}/)*[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Tile:
    """The `index`-th tile of `level`, `width` (1 to 256) items wide; 256 is full, less is partial.

    >>> Tile(0, 1234067, 8).path
    'tile/0/x001/x234/067.p/8'
    """

    level: int
    index: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Where tlog-tiles serves it, relative to the log's prefix."""
        thousands, last = divmod(self.index, 1000)
        name = f"{last:03d}"
        while thousands:
            thousands, group = divmod(thousands, 1000)
            name = f"x{group:03d}/{name}"
        level = "entries" if self.level == ENTRIES else str(self.level)
        return f"tile/{level}/{name}" + ("" if self.width == WIDTH else f".p/{self.width}")

    @property
    def start(self) -> int:
        """The position of its first item within the level."""
        return self.index * WIDTH

    def full(self) -> Tile:
        """The same tile with all its 256 items."""
        return Tile(self.level, self.index)

    def width_in(self, size: int) -> int:
        """How many items this tile has in a tree of `size` entries: 0 to 256."""
        items = size >> (HEIGHT * max(self.level, 0))
        return max(0, min(WIDTH, items - self.start))


def parse_path(path: str) -> Tile:
    """The tile whose `path` this is, exactly. Raises MalformedError."""
    match = _PATH.fullmatch(path)
    if match is None:
        raise MalformedError("not the path of a tile")
    level = ENTRIES if match["level"] == "entries" else int(match["level"])
    tile = Tile(level, int(match["index"].replace("x", "").replace("/", "")), int(match["width"] or WIDTH))
    if level > MAX_LEVEL or tile.path != path:
        raise MalformedError("not the path of a tile")
    return tile


def edge_tiles(size: int) -> Iterator[Tile]:
    """The partial hash tiles of a tree of `size` entries, lowest level first: its right edge."""
    level = 0
    while size:
        index, width = divmod(size, WIDTH)
        if width:
            yield Tile(level, index, width)
        size, level = index, level + 1


def called_for(path: str, size: int) -> bool:
    """Whether a log of this size must have the file `path`."""
    try:
        tile = parse_path(path)
    except MalformedError:
        return False
    return tile.width == tile.width_in(size)


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Entries with big-endian uint16 lengths. Raises MalformedError for one of more than 65,535 bytes."""
    try:
        return b"".join([part for entry in entries for part in (len(entry).to_bytes(2, "big"), entry)])
    except OverflowError as error:
        raise MalformedError(f"an entry of more than {MAX_BUNDLED} bytes") from error


def parse_bundle(data: bytes, width: int) -> list[bytes]:
    """Exactly `width` entries and nothing after them. Raises MalformedError."""
    entries = parse_entries(data)
    if len(entries) != width:
        raise MalformedError(f"a bundle of {len(entries)} entries where {width} belong")
    return entries


def parse_entries(data: bytes) -> list[bytes]:
    """As many entries as there are, and nothing after them. Raises MalformedError."""
    entries: list[bytes] = []
    offset = 0
    while offset < len(data):
        start = offset + 2
        offset = start + int.from_bytes(data[offset:start], "big")
        if start > len(data) or offset > len(data):
            raise MalformedError("a bundle that ends within an entry, or trailing bytes")
        entries.append(data[start:offset])
    return entries


def parse_hashes(data: bytes, width: int) -> list[bytes]:
    """Exactly `width` hashes. Raises MalformedError."""
    if len(data) != width * HASH_BYTES:
        raise MalformedError(f"a tile of {len(data)} bytes where {width} hashes belong")
    return [data[start : start + HASH_BYTES] for start in range(0, len(data), HASH_BYTES)]


def node_reader(size: int, read: Callable[[Tile], bytes]) -> NodeHash:
    """Any perfect subtree of a tree of `size` entries, from its tiles; for `merkle`'s proofs.

    `read` returns the bytes of a tile this tree has. The result raises MalformedError for a tile of another
    length and for a node outside the tree.
    """

    def node(level: int, index: int) -> bytes:
        tile_level, height = divmod(level, HEIGHT)
        first = index << height
        tile = Tile(tile_level, first // WIDTH)
        width = tile.width_in(size)
        offset = first - tile.start
        if offset + (1 << height) > width:
            raise MalformedError("a node outside the tree")
        tree = CompactRange()
        for value in parse_hashes(read(Tile(tile_level, tile.index, width)), width)[
            offset : offset + (1 << height)
        ]:
            tree.append(value)
        return tree.root()

    return node
