"""Replies to HTTP/1.0, which has no chunks: one without a length ends with its connection (RFC 9112, 6.3).

Knows: uvicorn's account of one reply. Must not know: routes, what is replied.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


def unchunked(cycle: RequestResponseCycle, app: Any) -> Any:
    """The application, its replies without chunks. uvicorn knows replies of a length and in chunks: for each
    part of one without a length it is told the length of just that part.
    """

    async def run(scope: Any, receive: Any, send: Any) -> None:
        async def send_plain(message: Any) -> None:
            if message["type"] != "http.response.start":
                if endless:
                    cycle.expected_content_length = len(message.get("body", b""))
                await send(message)
                return
            if any(name.lower() == b"content-length" for name, _ in message["headers"]):
                await send(message)
                return
            endless.append(True)
            cycle.chunked_encoding = True  # settled: no transfer-encoding is written of itself
            await send(message)
            cycle.chunked_encoding = False

        endless: list[bool] = []
        await app(scope, receive, send_plain)

    return run
