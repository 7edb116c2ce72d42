"""Tiles: their names as the specification's examples have them, strict bytes, and the growing edge."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.tlog import merkle
from broker.tlog.frontier import Frontier
from broker.tlog.malformed import MalformedError
from broker.tlog.tile import (
    ENTRIES,
    Tile,
    edge_tiles,
    encode_bundle,
    node_reader,
    parse_bundle,
    parse_hashes,
    parse_path,
)
from tests.sizes import sized
from tests.tlog.consistency import consistency_proof, verify_consistency
from tests.tlog.test_merkle import naive_root

bundles = st.lists(st.binary(max_size=300), max_size=256)


def _entry(number: int) -> bytes:
    return f"entry {number}".encode()


def _grown(size: int) -> tuple[Frontier, dict[str, bytes]]:
    frontier = Frontier()
    files: dict[str, bytes] = {}
    for number in range(size):
        entry = _entry(number)
        files |= {file.tile.path: file.content for file in frontier.append(entry, merkle.hash_leaf(entry))}
    return frontier, files | {file.tile.path: file.content for file in frontier.partials()}


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 1234067), "tile/0/x001/x234/067"),
        (Tile(0, 1234067, 8), "tile/0/x001/x234/067.p/8"),
        (Tile(63, 5), "tile/63/005"),
        (Tile(ENTRIES, 999, 255), "tile/entries/999.p/255"),
        (Tile(ENTRIES, 1000), "tile/entries/x001/000"),
    ],
)
def test_paths_are_those_of_the_specification(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert parse_path(path) == tile


@given(st.integers(-1, 63), st.integers(0, 2**60), st.integers(1, 256))
def test_every_path_parses_back(level: int, index: int, width: int) -> None:
    tile = Tile(level, index, width)
    assert parse_path(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    [
        *("tile/64/000", "tile/00/000", "tile/0/1", "tile/0/0000", "tile/0/x000/001", "tile/0/001/002"),
        *(
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000.p",
            "tile/0/000.p/1/",
            "tile/0/x001",
        ),
        *("/tile/0/000", "tile/entries/../checkpoint", "tile/data/000", "tile/0/000\n", "tile/0/٠٠٠", ""),
    ],
)
def test_a_path_of_no_tile_is_refused(path: str) -> None:
    with pytest.raises(MalformedError):
        parse_path(path)


def test_the_edge_of_70_000_entries_is_the_one_in_the_specification() -> None:
    assert list(edge_tiles(70_000)) == [Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert list(edge_tiles(256)) == [Tile(1, 0, 1)]
    assert list(edge_tiles(0)) == []


@given(bundles)
def test_a_bundle_parses_back_and_only_as_itself(entries: list[bytes]) -> None:
    data = encode_bundle(entries)
    assert parse_bundle(data, len(entries)) == entries
    with pytest.raises(MalformedError):
        parse_bundle(data, len(entries) + 1)
    for trailing in (b"\x00", b"\x00\x00", b"\x00\x01x"):
        with pytest.raises(MalformedError):
            parse_bundle(data + trailing, len(entries))
    if entries and entries[-1]:
        with pytest.raises(MalformedError):
            parse_bundle(data[:-1], len(entries))


def test_an_entry_that_a_bundle_cannot_hold_is_refused() -> None:
    assert parse_bundle(encode_bundle([bytes(65535)]), 1) == [bytes(65535)]
    with pytest.raises(MalformedError):
        encode_bundle([bytes(65536)])


@given(st.binary(max_size=100), st.integers(0, 3))
def test_a_hash_tile_has_exactly_its_width(data: bytes, width: int) -> None:
    if len(data) == width * 32:
        assert b"".join(parse_hashes(data, width)) == data
    else:
        with pytest.raises(MalformedError):
            parse_hashes(data, width)


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 600, 66_000])
def test_the_edge_loads_from_its_tiles_alone_and_grows_the_same(size: int) -> None:
    frontier, files = _grown(size)
    read: list[str] = []

    def load(tile: Tile) -> bytes:
        read.append(tile.path)
        return files[tile.path]

    loaded = Frontier.load(size, load)
    assert len(read) <= 4
    for number in range(size, size + 300):
        entry = _entry(number)
        assert loaded.append(entry, merkle.hash_leaf(entry)) == frontier.append(
            entry, merkle.hash_leaf(entry)
        )
    assert (loaded.root(), loaded.partials()) == (frontier.root(), frontier.partials())


def test_a_bundle_that_is_not_the_edge_tiles_own_is_refused() -> None:
    _, files = _grown(300)
    files["tile/entries/001.p/44"] = files["tile/entries/001.p/44"].replace(b"entry 299", b"entry 999")
    with pytest.raises(MalformedError):
        Frontier.load(300, lambda tile: files[tile.path])


@settings(max_examples=sized(30))
@given(st.integers(1, 700), st.data())
def test_proofs_made_from_tiles_verify(size: int, data: st.DataObject) -> None:
    frontier, files = _grown(size)
    leaves = [merkle.hash_leaf(_entry(number)) for number in range(size)]
    node = node_reader(size, lambda tile: files[tile.path])
    index = data.draw(st.integers(0, size - 1))
    merkle.verify_inclusion(
        leaves[index], index, size, merkle.inclusion_proof(index, size, node), frontier.root()
    )
    old = data.draw(st.integers(1, size))
    proof = consistency_proof(old, size, node)
    verify_consistency(old, naive_root(leaves[:old]), size, frontier.root(), proof)
    with pytest.raises(MalformedError):
        node(0, size)
