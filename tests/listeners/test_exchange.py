"""How replies are framed on the wire, whatever an application says (RFC 9112)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from broker.listeners.https.server import HttpServer
from broker.listeners.sockets import BoundSocket

Headers = list[tuple[bytes, bytes]]
LENGTH: Headers = [(b"content-length", b"2")]


async def answer(request: bytes, headers: Headers, *parts: bytes, status: int = 200) -> bytes:
    """All that comes back for this request, of an application that replies so."""

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    listener = BoundSocket("127.0.0.1:0")
    server = HttpServer(app, listener, None)
    port = listener.socket.getsockname()[1]
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.close()
        await server.stop()


def ask(method: bytes = b"GET", version: bytes = b"1.1") -> bytes:
    return b"%b / HTTP/%b\r\nhost: x\r\nconnection: close\r\n\r\n" % (method, version)


@pytest.mark.parametrize(
    ("request_", "headers", "status", "wanted"),
    [
        (ask(), LENGTH, 200, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi"),
        (
            ask(),
            [],
            200,
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
            b"1\r\nh\r\n1\r\ni\r\n0\r\n\r\n",
        ),
        (ask(version=b"1.0"), [], 200, b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhi"),
        (ask(b"HEAD"), LENGTH, 200, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n"),
        (ask(b"HEAD"), [], 200, b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"),
    ],
    ids=["length", "chunks", "1.0", "HEAD", "HEAD without a length"],
)
async def test_a_reply_is_framed_as_its_request_allows(
    request_: bytes, headers: Headers, status: int, wanted: bytes
) -> None:
    assert await answer(request_, headers, b"h", b"i", status=status) == wanted


async def test_a_reply_without_a_body_has_no_chunks() -> None:
    assert await answer(ask(), [], status=204) == b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"


@pytest.mark.parametrize("parts", [(b"h",), (b"h", b"i", b"!")], ids=["shorter", "longer"])
async def test_a_body_that_is_not_of_its_length_never_looks_whole(parts: tuple[bytes, ...]) -> None:
    """The connection ends: what follows could otherwise be taken for the next reply."""
    seen = await answer(ask().replace(b"connection: close\r\n", b""), LENGTH, *parts)
    assert not seen.endswith(b"hi!")


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb", b"a\0b"])
@pytest.mark.parametrize("place", [0, 1])
async def test_a_header_that_would_be_two_is_not_written(value: bytes, place: int) -> None:
    field = (value, b"x") if place == 0 else (b"x", value)
    assert value not in await answer(ask(), [*LENGTH, field], b"hi")


async def test_pipelined_requests_are_answered_in_their_order() -> None:
    two = ask().replace(b"connection: close\r\n", b"") + ask(b"HEAD")
    seen = await answer(two, LENGTH, b"hi")
    assert seen == (
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n"
    )
