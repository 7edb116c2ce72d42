"""What an answer's head, its trailers and its framing may be (RFC 9112), beyond what llhttp sees to.

Knows: one answer's fields and sizes. Must not know: sockets, what is done with an answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MAX_HEAD_BYTES = 16 * 1024
MAX_FIELDS = 64
FIRST_FINAL = 200
_FIRST, _LAST = 100, 599
_VERSIONS = frozenset({"1.0", "1.1"})
_UNPRINTABLE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_LENGTH = re.compile(r"[0-9]{1,15}\Z")
_KEEP = re.compile(r"(?:.*[, ])?timeout=([0-9]{1,6})(?:[, ].*)?\Z", re.IGNORECASE)
_FRAMING_BYTES = 64 * 1024
_FRAMING_PER_BYTE = 16
"""Upstream may wrap each byte of a body in a chunk of its own (6 bytes), and send a head and trailers."""


class UnreadableError(Exception):
    """The answer leaves the grammar, or a limit."""


class Framing:
    """The account of one answer; every method raises UnreadableError.

    `delimited`: a length or chunks tell where it ends, not the end of the connection. `began`: a byte of it
    has come.
    """

    __slots__ = ("_body", "_bytes", "_count", "_sizes", "delimited", "keep_seconds")

    def __init__(self) -> None:
        self._bytes = 0
        self._body = 0
        self._count = 0
        self._sizes = 0
        self.delimited = False
        self.keep_seconds: float | None = None

    @property
    def began(self) -> bool:
        return self._bytes > 0

    def arrived(self, size: int) -> None:
        """So many bytes have come."""
        self._bytes += size

    def delivered(self, size: int) -> None:
        """So many of them are the body's."""
        self._body += size

    def judge(self, *, head_came: bool) -> None:
        """Whether what has come is in proportion: a head without end, or chunks of extensions, are not."""
        if not head_came and self._bytes > MAX_HEAD_BYTES:
            raise UnreadableError
        if self._bytes - self._body > _FRAMING_BYTES + _FRAMING_PER_BYTE * self._body:
            raise UnreadableError

    def field(self, name: bytes, value: bytes) -> tuple[str, str]:
        """One field of a head or a trailer section, its name in lower case."""
        self._count += 1
        self._sizes += len(name) + len(value)
        if self._count > MAX_FIELDS or self._sizes > MAX_HEAD_BYTES or _UNPRINTABLE.search(value):
            raise UnreadableError
        return name.decode("latin-1").lower(), value.decode("latin-1")

    def head(self, status: int, version: str, fields: Sequence[tuple[str, str]]) -> None:
        """Judges the status line and how the body ends. The bounds of fields begin anew: for the final head
        behind an interim one, or for trailers.
        """
        if not _FIRST <= status <= _LAST or version not in _VERSIONS:
            raise UnreadableError
        self._count = 0
        lengths, codings = 0, 0
        for name, value in fields:
            if name == "content-length":
                lengths += 1
                if _LENGTH.match(value) is None:
                    raise UnreadableError
            elif name == "transfer-encoding":
                codings += 1
                if value.lower() != "chunked" or version == "1.0":  # RFC 9112, 6.1
                    raise UnreadableError
            elif name == "keep-alive":
                told = _KEEP.match(value)
                self.keep_seconds = float(told[1]) if told else None
        if lengths + codings > 1:
            raise UnreadableError
        self.delimited = bool(lengths + codings)
