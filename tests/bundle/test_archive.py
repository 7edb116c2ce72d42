"""The archive of a bundle is untrusted: nothing but plain files, and no size it does not hold."""

from __future__ import annotations

import gzip
import io
import tarfile
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.adapters.policyfiles.bundle.archive import ArchiveError, unpacked

MIB = 1024 * 1024


def header(
    name: bytes, kind: bytes, size: bytes, *, rest: bytes = b"", magic: bytes = b"ustar\x0000"
) -> bytes:
    """One block of a tar header with the right checksum; `rest` goes where sparse maps and prefixes do."""
    block = bytearray(512)
    block[: len(name)] = name
    block[124 : 124 + len(size)] = size
    block[136:148] = b"7" * 12
    block[148:156] = b" " * 8
    block[156:157] = kind
    block[257 : 257 + len(magic)] = magic
    block[345 : 345 + len(rest)] = rest
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def packed(*blocks: bytes) -> bytes:
    return gzip.compress(b"".join((*blocks, bytes(1024))))


def pax(*records: bytes) -> bytes:
    body = b"".join(b"%d %s\n" % (len(one) + 4, one) for one in records)
    return header(b"pax", b"x", b"%011o" % len(body)) + body + bytes(-len(body) % 512)


HUGE = bytes(138) + b"30000000000\0"  # 3 GiB that the archive does not hold
SPARSE = b"00000000000\x0000000000001\0" + bytes(96 - 24)
BOMBS: dict[str, Callable[[], bytes]] = {
    "GNU sparse": lambda: packed(header(b"data.json", b"S", b"00000000000", rest=HUGE)),
    "GNU sparse with a map": lambda: packed(
        header(b"a", b"S", b"00000000001", rest=SPARSE), b"x" + bytes(511)
    ),
    "pax sparse": lambda: packed(pax(b"GNU.sparse.major=1"), header(b"a", b"0", b"00000000000")),
    "pax sparse size": lambda: packed(pax(b"GNU.sparse.size=9999999999"), header(b"a", b"0", b"00000000000")),
    "pax size": lambda: packed(pax(b"size=99999999999"), header(b"a", b"0", b"00000000000")),
    "pax link": lambda: packed(pax(b"linkpath=/etc/passwd"), header(b"a", b"0", b"00000000000")),
    "broken pax": lambda: packed(header(b"p", b"x", b"00000000003"), b"9 p" + bytes(509)),
    "base-256 size": lambda: packed(header(b"a", b"0", b"\x80" + bytes(5) + b"\x01" + bytes(5))),
    "negative size": lambda: packed(header(b"a", b"0", b"\xff" * 12)),
    "size beyond the end": lambda: packed(header(b"a", b"0", b"77777777777")),
    "hard link": lambda: packed(header(b"a", b"1", b"00000000000")),
    "symbolic link": lambda: packed(header(b"a", b"2", b"00000000000")),
    "device": lambda: packed(header(b"a", b"3", b"00000000000")),
    "fifo": lambda: packed(header(b"a", b"6", b"00000000000")),
    "contiguous": lambda: packed(header(b"a", b"7", b"00000000000")),
    "twice": lambda: packed(header(b"a", b"0", b"00000000000"), header(b"a", b"0", b"00000000000")),
    "twice by a slash": lambda: packed(
        header(b"a", b"0", b"00000000000"), header(b"/a", b"0", b"00000000000")
    ),
    "outside": lambda: packed(header(b"../a", b"0", b"00000000000")),
    "outside by pax": lambda: packed(pax(b"path=a/../../b"), header(b"a", b"0", b"00000000000")),
    "outside by a prefix": lambda: packed(header(b"a", b"0", b"00000000000", rest=b"..")),
    "long GNU name": lambda: packed(
        header(b"n", b"L", b"00000100000"), bytes(32768), header(b"a", b"0", b"0" * 11)
    ),
    "too many": lambda: packed(*(header(b"a%d" % n, b"0", b"00000000000") for n in range(1001))),
    "many pax headers": lambda: packed(*([pax(b"mtime=1")] * 5000)),
    "wrong checksum": lambda: packed(b"a" + header(b"b", b"0", b"00000000000")[1:]),
    "gzip bomb": lambda: gzip.compress(bytes(70 * MIB)),
    "gzip members": lambda: gzip.compress(bytes(20 * MIB)) * 4,
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_in_a_bundle_is_refused_at_no_cost(name: str) -> None:
    bomb = BOMBS[name]()
    tracemalloc.start()
    try:
        with pytest.raises(ArchiveError):
            unpacked(bomb)
        assert tracemalloc.get_traced_memory()[1] < (16 if "gzip" not in name else 200) * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_tar_programs_write_is_read(kind: int) -> None:
    names = ["a.rego", "deep/b.rego", "/data.json", "x" * 90 + "/" + "y" * 80 + ".rego"]
    if kind != tarfile.USTAR_FORMAT:
        names.append("é" * 60 + "/" + "z" * 120)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as archive:
        folder = tarfile.TarInfo("deep")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = 700, 1795517000.5 if kind == tarfile.PAX_FORMAT else 1795517000
            archive.addfile(entry, io.BytesIO(name[:1].encode() * 700))
    files = unpacked(gzip.compress(out.getvalue()))
    assert [*files] == [name.removeprefix("/") for name in names]
    assert {len(content) for content in files.values()} <= {700}


_changes = st.lists(st.tuples(st.integers(0, 1535), st.integers(0, 255)), max_size=6)
_plain = header(b"a.rego", b"0", b"00000000005") + b"hello" + bytes(507) + header(b"b", b"0", b"00000000000")


@given(_changes)
def test_a_mangled_archive_is_read_or_refused(changes: list[tuple[int, int]]) -> None:
    mangled = bytearray(_plain)
    for place, byte in changes:
        mangled[place] = byte
    try:
        files = unpacked(gzip.compress(bytes(mangled)))
    except ArchiveError:
        return
    assert all(".." not in name and not name.startswith("/") for name in files)
