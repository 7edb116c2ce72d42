"""Connections that say nothing, or begin and do not go on: they keep nobody out."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from broker.adapters.clock import SystemClock
from broker.adapters.pki import DevPki
from broker.listeners.https import acceptor
from broker.listeners.https.server import HttpServer, tls_context
from broker.listeners.sockets import BoundSocket
from broker.listeners.tlsfiles import TlsFiles, TlsInUse

WAITING = 40


async def hello(scope: Any, _receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"hi"})


async def asked(port: int, tls: ssl.SSLContext) -> bytes:
    """One request over a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname="localhost")
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    reply = await reader.read()
    writer.close()
    return reply


async def silent(port: int, count: int, says: bytes = b"") -> list[socket.socket]:
    """Connections that go no further than this."""
    loop = asyncio.get_running_loop()
    opened = []
    for _ in range(count):
        one = socket.socket()
        one.setblocking(False)
        await loop.sock_connect(one, ("127.0.0.1", port))
        if says:
            await loop.sock_sendall(one, says)
        opened.append(one)
    return opened


def close(opened: list[socket.socket]) -> None:
    for one in opened:
        one.close()


def is_closed(one: socket.socket) -> bool:
    """Whether the server has ended this connection."""
    try:
        return one.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


async def all_closed(opened: list[socket.socket]) -> None:
    """Within five seconds."""
    for _ in range(100):
        if all(map(is_closed, opened)):
            break
        await asyncio.sleep(0.05)
    else:
        raise AssertionError("some are still open")
    close(opened)


@dataclass(frozen=True)
class Endpoint:
    port: int
    tls: ssl.SSLContext


@pytest.fixture
async def listener(tmp_path: Path) -> AsyncIterator[Endpoint]:
    pki = DevPki.load_or_create(tmp_path / "pki")
    server = pki.server()
    tls = TlsInUse(TlsFiles(server.cert, server.key, pki.ca), SystemClock())
    listener = BoundSocket("127.0.0.1:0")
    serving = HttpServer(hello, listener, tls_context(tls, lambda _why: None))
    port = listener.socket.getsockname()[1]
    await serving.start()
    yield Endpoint(port, ssl.create_default_context(cafile=str(pki.ca)))
    await serving.stop()


@pytest.mark.parametrize("says", [b"", b"\x16"], ids=["nothing", "one byte"])
async def test_silent_connections_keep_no_new_one_out(
    listener: Endpoint, monkeypatch: pytest.MonkeyPatch, says: bytes
) -> None:
    """Issue 12, B.21: 1,500 silent TCP connections kept new ones out for seconds."""
    monkeypatch.setattr(acceptor, "WAITING_BY_ADDRESS", WAITING)
    opened = await silent(listener.port, 5 * WAITING, says)
    async with asyncio.timeout(2):
        assert (await asked(listener.port, listener.tls)).endswith(b"hi")
    await asyncio.sleep(0.1)
    assert sum(map(is_closed, opened)) >= 4 * WAITING, "those that waited longest were not given up"
    assert not is_closed(opened[-1])
    close(opened)


async def test_a_handshake_has_a_deadline(listener: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor, "HANDSHAKE_SECONDS", 0.3)
    opened = [*await silent(listener.port, 5), *await silent(listener.port, 5, b"\x16")]
    await all_closed(opened)


async def test_a_connection_that_is_served_is_nobodys_to_close(
    listener: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptor, "HANDSHAKE_SECONDS", 0.3)
    monkeypatch.setattr(acceptor, "WAITING_BY_ADDRESS", WAITING)
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", listener.port, ssl=listener.tls, server_hostname="localhost"
    )
    opened = await silent(listener.port, 3 * WAITING)
    await asyncio.sleep(0.5)
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert (await reader.read()).endswith(b"hi")
    writer.close()
    close(opened)


async def test_what_is_no_handshake_ends_and_leaves_nothing(listener: Endpoint) -> None:
    opened = await silent(listener.port, 10, b"GET / HTTP/1.1\r\n\r\n")
    await all_closed(opened)
    assert (await asked(listener.port, listener.tls)).endswith(b"hi")


async def test_many_who_come_at_once_are_all_served(listener: Endpoint) -> None:
    replies = await asyncio.gather(*(asked(listener.port, listener.tls) for _ in range(100)))
    assert all(reply.endswith(b"hi") for reply in replies)


async def test_handshakes_of_one_address_keep_no_other_waiting(listener: Endpoint) -> None:
    """Three hundred at once, and one of another address after them: it does not wait for all of them."""
    done: list[str] = []

    async def handshake(address: str) -> None:
        _, writer = await asyncio.open_connection(
            "127.0.0.1",
            listener.port,
            ssl=listener.tls,
            server_hostname="localhost",
            local_addr=(address, 0),
        )
        done.append(address)
        writer.close()

    await asyncio.gather(*(handshake("127.0.0.1") for _ in range(300)), handshake("127.0.0.2"))
    assert len(done) == 301
    assert done.index("127.0.0.2") < 150
