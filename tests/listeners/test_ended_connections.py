"""A connection that has ended goes at once, with its TLS state; a cycle would keep both for a while."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from broker.listeners.https.protocol import PeerProtocol


@pytest.fixture(autouse=True)
def _without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def test_a_connection_that_has_ended_goes_at_once() -> None:
    config = Config(_nothing_is_asked, interface="asgi3", lifespan="off", log_config=None)
    config.load()
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: _protocol(config, loop, seen), "127.0.0.1", 0)
    seen: list[weakref.ref[PeerProtocol]] = []
    _, writer = await asyncio.open_connection(*listener.sockets[0].getsockname()[:2])
    while not seen:  # noqa: ASYNC110 - what it waits for sets no event
        await asyncio.sleep(0)
    writer.close()
    await writer.wait_closed()
    listener.close()
    for _ in range(200):
        if seen[0]() is None:
            break
        await asyncio.sleep(0.01)
    assert seen[0]() is None


async def _nothing_is_asked(_scope: object, _receive: object, _send: object) -> None:
    raise AssertionError("nobody asks anything")


def _protocol(
    config: Config, loop: asyncio.AbstractEventLoop, seen: list[weakref.ref[PeerProtocol]]
) -> PeerProtocol:
    protocol = PeerProtocol(config, ServerState(), {}, loop)
    seen.append(weakref.ref(protocol))
    return protocol
