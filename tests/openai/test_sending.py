"""How often a request is sent: not again where upstream may have carried it out, and each sending counts."""

from __future__ import annotations

import asyncio
import socket
import threading
import time

import pytest

from broker.errors import BrokerError
from broker.model.call import Reply
from tests.openai.client import Caller
from tests.openai.server import OK, scripted

BUSY = b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"


async def test_a_post_that_upstream_may_have_carried_out_is_not_sent_again() -> None:
    """On a connection that is used again, upstream reads the request and closes without a byte."""
    async with scripted(OK, None, OK) as server:
        caller = Caller(server.url)
        await caller.call()
        with pytest.raises(BrokerError, match="may have carried it out") as caught:
            await caller.call()
        assert len(server.requests) == 2
        assert (caller.sends.begun, caller.sends.unanswered, caught.value.unsent) == (1, True, False)
        await caller.close()


async def test_a_post_that_upstream_leaves_after_a_busy_answer_is_sent_twice_and_counted() -> None:
    async with scripted(BUSY, None, OK) as server:
        caller = Caller(server.url)
        with pytest.raises(BrokerError) as caught:
            await caller.call()
        assert (len(server.requests), caller.sends.begun, caught.value.unsent) == (2, 2, False)
        await caller.close()


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_what_is_idempotent_is_repeated_once(method: str) -> None:
    async with scripted(OK, None, OK, None, None) as server:
        caller = Caller(server.url)
        await caller.call(method)
        assert (await caller.call(method)).status == 200
        assert (len(server.requests), caller.sends.begun, caller.sends.unanswered) == (3, 2, True)
        with pytest.raises(BrokerError):
            await caller.call(method)
        assert (len(server.requests), caller.sends.begun) == (5, 2)
        await caller.close()


async def test_a_connection_that_upstream_closed_while_it_rested_carries_no_post() -> None:
    """Its end has come, but the event loop has not read it yet."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(2):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(OK)

        thread = threading.Thread(target=serve)
        thread.start()
        caller = Caller(f"http://127.0.0.1:{listener.getsockname()[1]}")
        await caller.call()
        time.sleep(0.2)  # noqa: ASYNC251 - the loop must not come to see the end of the connection
        assert (await caller.call()).status == 200
        assert caller.sends.begun == 1
        await caller.close()
        thread.join()


@pytest.mark.parametrize(("told", "connections"), [("timeout=1", 2), ("max=9, timeout=60", 1), ("x", 1)])
async def test_a_connection_is_given_up_before_upstream_says_that_it_will(
    told: str, connections: int
) -> None:
    kept = OK.replace(b"OK\r\n", b"OK\r\nkeep-alive: " + told.encode() + b"\r\n")
    async with scripted(kept) as server:
        caller = Caller(server.url)
        await caller.call()
        await caller.call()
        assert server.connections == connections
        await caller.close()


async def test_each_sending_of_one_call_counts() -> None:
    async with scripted(BUSY, BUSY, OK) as server:
        caller = Caller(server.url)
        assert (await caller.call()).status == 200
        assert (len(server.requests), caller.sends.begun, caller.sends.unanswered) == (3, 3, False)
        await caller.close()


async def test_a_call_that_reached_nobody_counts_no_sending() -> None:
    caller = Caller("http://127.0.0.1:9")
    with pytest.raises(BrokerError) as caught:
        await caller.call()
    assert (caller.sends.begun, caught.value.unsent, len(caller.clock.slept)) == (0, True, 3)


async def test_a_call_whose_caller_leaves_counts_its_sending() -> None:
    async with scripted(b"") as server:
        caller = Caller(server.url)
        calling = asyncio.create_task(caller.call())
        await server.asked.wait()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert (caller.sends.begun, caller.sends.unanswered) == (1, True)


async def test_another_key_is_not_waited_for() -> None:
    limited = b"HTTP/1.1 429 Slow\r\ncontent-length: 2\r\n\r\n{}"
    async with scripted(limited) as server:
        caller = Caller(server.url)
        answer = await caller.call(is_only_key=False)
        assert isinstance(answer, Reply)
        assert (answer.status, answer.body, caller.sends.begun, caller.clock.slept) == (429, b"{}", 1, [])
        await caller.close()
