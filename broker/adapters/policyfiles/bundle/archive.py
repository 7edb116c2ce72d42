"""A tar.gz of plain files, read without trusting a byte of it.

Knows: the header of ustar (POSIX.1-1988), which every tar program reads and writes for plain files, and the
long names that GNU and pax add. Must not know: signatures, policies. Nothing is written to a disk, no size
is believed that the archive does not hold, and time and memory are bounded by LONGEST_BYTES.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath

LONGEST_BYTES = 64 * 1024 * 1024
"""Of the unpacked archive."""
_PACKED_BYTES = 32 * 1024 * 1024
_STEP = 256 * 1024
_FILES = 1000
_BLOCK = 512
_LONGEST_NAME = 4096
_FILE, _FOLDER, _GNU_NAME, _PAX, _PAX_GLOBAL = b"0\0", b"5", b"L", b"x", b"g"
_SIZE = re.compile(rb" *([0-7]{1,11})[ \0]*\Z")
_RECORD = re.compile(rb"([0-9]{1,6}) ([A-Za-z.]{1,64})=")
_SPELLED_OUT = frozenset(
    {"path", "mtime", "atime", "ctime", "uid", "gid", "uname", "gname", "charset", "comment"}
)


class ArchiveError(ValueError):
    """The archive is not one of plain files. The message says why and quotes nothing."""


def unpacked(raw: bytes) -> dict[str, bytes]:
    """Name to content of every file. Raises ArchiveError for whatever is no plain file or folder, a path that
    leads outside, a file that is there twice, and sizes or counts beyond the bounds.
    """
    files: dict[str, bytes] = {}
    for name, kind, content in _entries(_gunzipped(raw)):
        if kind == _FOLDER:
            continue
        plain = name.removeprefix("/")
        path = PurePosixPath(plain)
        if not plain or ".." in path.parts or path.as_posix() != plain or plain.startswith("/"):
            raise ArchiveError("It holds a path that leads outside.")
        if plain in files or len(files) >= _FILES:
            raise ArchiveError(f"It holds a file twice, or more than {_FILES} files.")
        files[plain] = content
    return files


def _gunzipped(raw: bytes) -> bytes:
    if len(raw) > _PACKED_BYTES:
        raise ArchiveError(f"It is larger than {_PACKED_BYTES} bytes.")
    try:
        plain = bytearray()  # in steps: memory is what was unpacked, not what might be
        with gzip.open(io.BytesIO(raw)) as stream:
            while len(plain) <= LONGEST_BYTES and (step := stream.read(_STEP)):
                plain += step
    except (OSError, EOFError, zlib.error):
        raise ArchiveError("It is not a tar.gz archive.") from None
    if len(plain) > LONGEST_BYTES:
        raise ArchiveError(f"It unpacks to more than {LONGEST_BYTES} bytes.")
    return bytes(plain)


def _entries(plain: bytes) -> Iterator[tuple[str, bytes, bytes]]:
    """Name, type and content of each entry, long names resolved."""
    place, long_name, headers = 0, None, 0
    while place + _BLOCK <= len(plain):
        header = plain[place : place + _BLOCK]
        if not any(header):
            return
        kind, size = _checked(header)
        headers += 1
        end = place + _BLOCK + size
        if end > len(plain) or headers > 4 * _FILES:
            raise ArchiveError("It names sizes that it does not hold, or more entries than any bundle has.")
        content = plain[place + _BLOCK : end]
        place = end + -size % _BLOCK
        if kind == _GNU_NAME:
            long_name = _text(content.rstrip(b"\0"))
        elif kind == _PAX:
            long_name = _pax_name(content) or long_name
        elif kind == _PAX_GLOBAL:
            _pax_name(content)
        else:
            yield long_name or _name(header), kind, content
            long_name = None
    if not place:
        raise ArchiveError("It is not a tar.gz archive.")


def _checked(header: bytes) -> tuple[bytes, int]:
    """Type and size of an entry whose checksum is right."""
    said, size = _SIZE.match(header[148:156]), _SIZE.match(header[124:136])
    if said is None or int(said[1], 8) != sum(header[:148]) + 8 * ord(" ") + sum(header[156:]):
        raise ArchiveError("It is not a tar.gz archive.")
    kind = b"0\0" if header[156:157] in (b"0", b"\0") else header[156:157]
    if size is None or kind not in (_FILE, _FOLDER, _GNU_NAME, _PAX, _PAX_GLOBAL):
        raise ArchiveError("It holds something else than plain files: a link, a device, a sparse file.")
    length = int(size[1], 8)
    if kind not in (_FILE, _FOLDER) and length > _LONGEST_NAME:
        raise ArchiveError("It holds a name or a header beyond any sensible length.")
    return kind, 0 if kind == _FOLDER else length


def _name(header: bytes) -> str:
    name = header[:100].partition(b"\0")[0]
    prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return _text(prefix + b"/" + name if prefix else name)


def _pax_name(content: bytes) -> str | None:
    """The path of a pax header (POSIX.1-2001), which may say nothing that changes what an entry holds."""
    path, place = None, 0
    while place < len(content):
        record = _RECORD.match(content, place)
        end = place + int(record[1]) if record else 0
        if record is None or end <= record.end() or content[end - 1 : end] != b"\n":
            raise ArchiveError("It holds a broken pax header.")
        keyword = record[2].decode()
        if keyword not in _SPELLED_OUT:
            raise ArchiveError("It holds a pax header of a link, a sparse file or another size.")
        if keyword == "path":
            path = _text(content[record.end() : end - 1])
        place = end
    return path


def _text(name: bytes) -> str:
    try:
        text = name.decode()
    except UnicodeDecodeError:
        text = "\0"
    if not text.isprintable():
        raise ArchiveError("It holds a name that is no printable UTF-8.")
    return text
