"""What an answer's head, its trailers and its framing may be (RFC 9112), beyond what llhttp sees to.

Knows: one answer's fields and sizes. Must not know: sockets, what is done with an answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain

MAX_HEAD_BYTES = 16 * 1024
MAX_FIELDS = 64
FIRST_FINAL = 200
_FIRST, _LAST = 100, 599
_VERSIONS = frozenset({"1.0", "1.1"})
_JUDGED = frozenset({"content-length", "transfer-encoding", "keep-alive"})
_LENGTH = re.compile(r"[0-9]{1,15}\Z")
_KEEP = re.compile(r"(?:.*[, ])?timeout=([0-9]{1,6})(?:[, ].*)?\Z", re.IGNORECASE)
_FRAMING_BYTES = 64 * 1024
_FRAMING_PER_BYTE = 16
"""Upstream may wrap each byte of a body in a chunk of its own (6 bytes), and send a head and trailers."""

Fields = list[tuple[str, str]]


class UnreadableError(Exception):
    """The answer leaves the grammar, or a limit."""


class Framing:
    """The account of one answer; every method raises UnreadableError.

    `delimited`: a length or chunks tell where it ends, not the end of the connection. `began`: a byte of it
    has come.
    """

    __slots__ = ("_body", "_bytes", "_old", "_trailers", "delimited", "keep_seconds")

    def __init__(self) -> None:
        self._bytes = 0
        self._body = 0
        self._trailers = 0
        self._old = False
        self.delimited = False
        self.keep_seconds: float | None = None

    @property
    def began(self) -> bool:
        return self._bytes > 0

    def arrived(self, size: int) -> None:
        """So many bytes have come."""
        self._bytes += size

    def judge(self, body: int, *, head_came: bool) -> None:
        """So many of them are the body's. Whether what has come is in proportion: a head without end, or
        chunks of extensions, are not.
        """
        self._body += body
        if head_came:
            beyond = self._bytes - self._body > _FRAMING_BYTES + _FRAMING_PER_BYTE * self._body
        else:
            beyond = self._bytes > MAX_HEAD_BYTES
        if beyond:
            raise UnreadableError

    def trailer(self) -> None:
        """A field behind the body: counted, and dropped."""
        self._trailers += 1
        if self._trailers > MAX_FIELDS:
            raise UnreadableError

    def head(self, status: int, version: str, raw: Sequence[tuple[bytes, bytes]]) -> Fields:
        """The fields of a head, their names in lower case, where they, what stands in the status line beside
        the reason, and the way that the body ends, are as they may be. llhttp has refused control characters.
        """
        if not _FIRST <= status <= _LAST or version not in _VERSIONS:
            raise UnreadableError
        self._old = version == "1.0"
        long = self._bytes > MAX_HEAD_BYTES and sum(map(len, chain.from_iterable(raw))) > MAX_HEAD_BYTES
        if long or len(raw) > MAX_FIELDS:
            raise UnreadableError
        found = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in raw]
        self._frame([field for field in found if field[0] in _JUDGED])
        return found

    def _frame(self, fields: Fields) -> None:
        delimiters = 0
        for name, value in fields:
            if name == "keep-alive":
                told = _KEEP.match(value)
                self.keep_seconds = float(told[1]) if told else None
                continue
            delimiters += 1
            if name == "content-length" and _LENGTH.match(value) is None:
                raise UnreadableError
            if name == "transfer-encoding" and (value.lower() != "chunked" or self._old):  # RFC 9112, 6.1
                raise UnreadableError
        if delimiters > 1:
            raise UnreadableError
        self.delimited = delimiters > 0
