"""An HTTP transport for tests that reads cut streams to their end, and sees that each looks cut.

A stream that may not go on ends with an error event, and its transfer breaks; any other ends properly.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import httpx

ERROR_EVENT = b"event: error\n"


class Transfers(httpx.BaseTransport):
    """Like httpx's own. A reply whose transfer broke after an error event is read as far as it came."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._transport = httpx.HTTPTransport(verify=context, trust_env=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        reply = self._transport.handle_request(request)
        if reply.headers.get("content-type", "").startswith("text/event-stream"):
            assert isinstance(reply.stream, httpx.SyncByteStream)
            reply.stream = _Stream(reply.stream)
        return reply

    def close(self) -> None:
        self._transport.close()


class _Stream(httpx.SyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        heard = b""
        try:
            for piece in self._stream:
                heard = (heard + piece)[-65_536:]
                yield piece
        except httpx.RemoteProtocolError:
            assert _last(heard).startswith(ERROR_EVENT), "the transfer broke without an error event"
        else:
            assert not _last(heard).startswith(ERROR_EVENT), "a cut stream ended as if it were whole"

    def close(self) -> None:
        self._stream.close()


def _last(heard: bytes) -> bytes:
    return heard.removesuffix(b"\n\n").rpartition(b"\n\n")[2]
