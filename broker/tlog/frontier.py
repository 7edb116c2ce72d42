"""The right edge of a growing log, and the tiles that each entry completes.

Knows how entries become bundles and tiles, in memory. Must not know files, signatures or what an entry says.
The writer and the verifier both grow a Frontier, so that what is written is what is checked; the tests
compare it with a naive tree and with an outside implementation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from broker.tlog.malformed import MalformedError
from broker.tlog.merkle import CompactRange, hash_leaf
from broker.tlog.tile import (
    ENTRIES,
    HEIGHT,
    WIDTH,
    Tile,
    edge_tiles,
    encode_bundle,
    parse_bundle,
    parse_hashes,
)


@dataclass(frozen=True, slots=True)
class TileFile:
    """A tile and its bytes."""

    tile: Tile
    content: bytes = field(repr=False)


class Frontier:
    """A tree's compact range, with the unfinished tile of each level and the unfinished bundle."""

    __slots__ = ("_bundle", "_levels", "_tree")

    def __init__(self) -> None:
        self._tree = CompactRange()
        self._levels: list[list[bytes]] = []
        self._bundle: list[bytes] = []

    @classmethod
    def load(cls, size: int, read: Callable[[Tile], bytes]) -> Frontier:
        """The frontier of a stored log of `size` entries, from its edge tiles and edge bundle alone.

        Reads at most one tile a level and one bundle. Raises MalformedError when they do not fit together;
        the caller compares `root()` with the checkpoint.
        """
        frontier = cls()
        roots: list[bytes] = []
        for tile in edge_tiles(size):
            hashes = parse_hashes(read(tile), tile.width)
            frontier._levels.extend([] for _ in range(tile.level + 1 - len(frontier._levels)))
            frontier._levels[tile.level] = hashes
            roots = [*_subtrees(hashes), *roots]
        frontier._tree = CompactRange(size, roots)
        if width := size % WIDTH:
            frontier._bundle = parse_bundle(read(Tile(ENTRIES, size // WIDTH, width)), width)
        if [hash_leaf(entry) for entry in frontier._bundle] != (frontier._levels[0] if width else []):
            raise MalformedError("the last entry bundle does not hash to the last level 0 tile")
        return frontier

    @property
    def size(self) -> int:
        """Entries so far."""
        return self._tree.size

    def root(self) -> bytes:
        """The root hash at this size."""
        return self._tree.root()

    def append(self, entry: bytes, leaf: bytes) -> list[TileFile]:
        """Adds an entry and its leaf hash; returns the tiles, and the bundle, that it made full."""
        seq = self.size
        nodes = self._tree.append(leaf)
        self._bundle.append(entry)
        full: list[TileFile] = []
        if len(self._bundle) == WIDTH:
            full.append(TileFile(Tile(ENTRIES, seq // WIDTH), encode_bundle(self._bundle)))
            self._bundle = []
        for level, value in enumerate(nodes[::HEIGHT]):
            if level == len(self._levels):
                self._levels.append([])
            hashes = self._levels[level]
            hashes.append(value)
            if len(hashes) == WIDTH:
                full.append(TileFile(Tile(level, seq >> (HEIGHT * (level + 1))), b"".join(hashes)))
                self._levels[level] = []
        return full

    def partials(self) -> list[TileFile]:
        """The unfinished bundle and tiles, as a checkpoint of this size requires them."""
        files = [TileFile(tile, b"".join(self._levels[tile.level])) for tile in edge_tiles(self.size)]
        if self._bundle:
            tile = Tile(ENTRIES, self.size // WIDTH, len(self._bundle))
            files.insert(0, TileFile(tile, encode_bundle(self._bundle)))
        return files


def _subtrees(hashes: list[bytes]) -> tuple[bytes, ...]:
    tree = CompactRange()
    for value in hashes:
        tree.append(value)
    return tree.roots
