"""The codings a request's body may come in (RFC 9110, 8.4), taken off within the size limit.

Knows: gzip, deflate, zstd. Must not know: what a body holds. What is filtered, decided on and sent upstream
is the decoded body, without the coding.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from typing import Protocol

from backports import zstd

from broker.errors import BrokerError, Kind
from broker.listeners.decode import too_large

ACCEPTED = "gzip, deflate, zstd"
_STEP_BYTES = 1024 * 1024
_MOST_MEMBERS = 16
"""Each costs a decoder, also an empty one."""
_AT_ONCE_BYTES = 1024
"""Of a coded body that may be decoded on the event loop: at the densest of deflate it holds 1 MiB."""
_GZIP = 31  # zlib's window bits for a gzip member
_WINDOW = {int(zstd.DecompressionParameter.window_log_max): 23}  # 8 MiB (RFC 9659)


class _Decoder(Protocol):
    """What zlib's and zstd's objects have in common: one member or frame, at most so many bytes a call."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def more(self, data: bytes, most: int) -> bytes: ...


class _Zlib:
    """A zlib stream or a gzip member. What has not been decoded yet is kept."""

    def __init__(self, bits: int) -> None:
        self._object = zlib.decompressobj(bits)

    @property
    def eof(self) -> bool:
        return self._object.eof

    @property
    def unused_data(self) -> bytes:
        return self._object.unused_data

    def more(self, data: bytes, most: int) -> bytes:
        return self._object.decompress(self._object.unconsumed_tail + data, most)


class _Zstd:
    """A zstd frame."""

    def __init__(self) -> None:
        self._object = zstd.ZstdDecompressor(options=_WINDOW)

    @property
    def eof(self) -> bool:
        return self._object.eof

    @property
    def unused_data(self) -> bytes:
        return self._object.unused_data

    def more(self, data: bytes, most: int) -> bytes:
        return self._object.decompress(data, most)


_DECODERS: dict[str, Callable[[], _Decoder]] = {
    "gzip": lambda: _Zlib(_GZIP),
    "x-gzip": lambda: _Zlib(_GZIP),
    "deflate": lambda: _Zlib(zlib.MAX_WBITS),
    "zstd": _Zstd,
}


async def decoded(codings: str, body: bytes, most: int) -> bytes:
    """The body without its content codings; the decoded one may have `most` bytes.

    Raises UNSUPPORTED_ENCODING, TOO_LARGE as soon as it is, BAD_REQUEST for what is not whole or not of the
    coding. What could hold the event loop up is decoded beside it.
    """
    named = [coding for coding in (name.strip().lower() for name in codings.split(",")) if coding]
    applied = [coding for coding in named if coding != "identity"]
    if not applied:
        return body
    if len(applied) > 1 or applied[0] not in _DECODERS:
        raise unsupported()
    if len(body) <= _AT_ONCE_BYTES:
        return _whole(_DECODERS[applied[0]], body, most)
    return await asyncio.to_thread(_whole, _DECODERS[applied[0]], body, most)


def _whole(new: Callable[[], _Decoder], body: bytes, most: int) -> bytes:
    """All members or frames of the body, one behind the other (RFC 1952, 2.2; RFC 8878, 3)."""
    plain = bytearray()
    rest = body
    try:
        for _ in range(_MOST_MEMBERS):
            decoder = new()
            plain += decoder.more(rest, _STEP_BYTES)
            while not decoder.eof and len(plain) <= most:
                more = decoder.more(b"", _STEP_BYTES)
                if not more and not decoder.eof:
                    raise _unreadable()  # cut off
                plain += more
            if len(plain) > most:
                raise too_large(most)
            rest = decoder.unused_data
            if not rest:
                return bytes(plain)
    except (zlib.error, zstd.ZstdError, EOFError):
        raise _unreadable() from None
    raise _unreadable()


def unsupported() -> BrokerError:
    """The answer to a coding that the broker does not know (RFC 9110, 15.5.16)."""
    return BrokerError(
        Kind.UNSUPPORTED_ENCODING,
        "The body's content-encoding is not supported.",
        param="content-encoding",
        remedy=f"Send it without, or with one of {ACCEPTED}.",
    )


def _unreadable() -> BrokerError:
    return BrokerError(
        Kind.BAD_REQUEST,
        "The body is not whole, or not what its content-encoding says.",
        param="body",
        remedy="Compress it anew, or send it as it is.",
    )
