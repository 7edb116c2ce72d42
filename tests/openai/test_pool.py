"""The connections to the upstream: what an answer is, when a connection is used again, and when never."""

from __future__ import annotations

import asyncio
import time

import pytest

from broker.adapters.openai.connection import BrokenError
from broker.adapters.openai.framing import MAX_HEAD_BYTES
from broker.adapters.openai.outgoing import OutgoingRequest
from broker.adapters.openai.pool import ConnectionPool, Deadlines, UnreachableError, UpstreamResponse
from broker.model.sends import Sends
from tests.openai.server import OK, Scripted, scripted

REQUEST = OutgoingRequest(b"GET / HTTP/1.1\r\nhost: upstream\r\n\r\n", Sends())


async def exchange(pool: ConnectionPool) -> tuple[int, bytes]:
    """Status and body of one exchange."""
    answer = await pool.send(REQUEST)
    try:
        return answer.status, await whole(answer)
    finally:
        answer.close()


async def whole(answer: UpstreamResponse) -> bytes:
    body = b""
    while chunk := await answer.read():
        body += chunk
    return body


async def first_then_second(upstream: Scripted) -> tuple[tuple[int, bytes], tuple[int, bytes]]:
    """Two exchanges, one after the other, through one pool."""
    pool = ConnectionPool(upstream.url, 4)
    first = await exchange(pool)
    await asyncio.sleep(0.02)
    second = await exchange(pool)
    await pool.aclose()
    return first, second


async def test_a_connection_is_used_again() -> None:
    async with scripted(OK) as upstream:
        assert await first_then_second(upstream) == ((200, b"ok"), (200, b"ok"))
        assert upstream.connections == 1


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n", b"abcde"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b""),
    ],
    ids=["chunked", "interim", "empty"],
)
async def test_an_answer_is_read_to_its_end_and_no_further(raw: bytes, body: bytes) -> None:
    async with scripted(raw) as upstream:
        assert await first_then_second(upstream) == ((200, body), (200, body))
        assert upstream.connections == 1


async def test_an_answer_without_length_ends_with_its_connection() -> None:
    async with scripted(b"HTTP/1.1 200 OK\r\n\r\nto the end", closes=True) as upstream:
        assert await first_then_second(upstream) == ((200, b"to the end"),) * 2
        assert upstream.connections == 2


async def test_a_connection_that_upstream_wants_closed_is_not_used_again() -> None:
    async with scripted(OK.replace(b"OK\r\n", b"OK\r\nconnection: close\r\n")) as upstream:
        await first_then_second(upstream)
        assert upstream.connections == 2


async def test_answer_smuggled_behind_another_reaches_nobody() -> None:
    smuggled = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged"
    async with scripted(OK + smuggled, OK) as upstream:
        assert await first_then_second(upstream) == ((200, b"ok"), (200, b"ok"))
        assert upstream.connections == 2


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"x" * (2 * MAX_HEAD_BYTES),
        b"SSH-2.0-OpenSSH\r\n",
    ],
    ids=["two framings", "two lengths", "upgrade", "endless head", "another protocol"],
)
async def test_answer_that_can_be_read_in_two_ways_is_refused(raw: bytes) -> None:
    async with scripted(raw) as upstream:
        with pytest.raises(BrokenError):
            await exchange(ConnectionPool(upstream.url, 1))


async def test_an_answer_cut_short_is_no_answer() -> None:
    async with scripted(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", closes=True) as upstream:
        with pytest.raises(BrokenError):
            await exchange(ConnectionPool(upstream.url, 1))


async def test_a_connection_that_ended_while_it_rested_costs_no_call() -> None:
    async with scripted(OK, None, OK) as upstream:
        pool = ConnectionPool(upstream.url, 1)
        await exchange(pool)
        assert await exchange(pool) == (200, b"ok")
        assert len(upstream.requests) == 3
        await pool.aclose()


async def test_a_request_is_not_repeated_where_upstream_may_be_working_on_it() -> None:
    async with scripted(None, OK) as upstream:
        with pytest.raises(BrokenError):
            await exchange(ConnectionPool(upstream.url, 1))
        assert len(upstream.requests) == 1
    async with scripted(OK, b"HTTP/1.1 200", OK, closes=False) as upstream:
        pool = ConnectionPool(upstream.url, 1, Deadlines(read=0.1))
        await exchange(pool)
        with pytest.raises(BrokenError):
            await exchange(pool)
        assert len(upstream.requests) == 2


async def test_a_silent_upstream_is_given_up() -> None:
    async with scripted(b"") as upstream:
        began = time.monotonic()
        with pytest.raises(BrokenError):
            await exchange(ConnectionPool(upstream.url, 1, Deadlines(read=0.05)))
        assert time.monotonic() - began < 2


async def test_no_more_connections_than_allowed_and_none_is_lost() -> None:
    async with scripted(OK) as upstream:
        pool = ConnectionPool(upstream.url, 1, Deadlines(pool=0.05))
        held = await pool.send(REQUEST)
        with pytest.raises(UnreachableError):
            await exchange(pool)
        held.close()
        assert await exchange(pool) == (200, b"ok")
        await pool.aclose()


async def test_a_cancelled_call_frees_its_place_and_ends_its_connection() -> None:
    async with scripted(b"", OK) as upstream:
        pool = ConnectionPool(upstream.url, 1, Deadlines(pool=1))
        calling = asyncio.create_task(exchange(pool))
        await upstream.asked.wait()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert await exchange(pool) == (200, b"ok")
        assert upstream.connections == 2
        await pool.aclose()


async def test_a_reader_that_is_slow_holds_upstream_back_and_loses_nothing() -> None:
    body = b"x" * (4 << 20)
    async with scripted(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body) as upstream:
        pool = ConnectionPool(upstream.url, 1)
        answer = await pool.send(REQUEST)
        await asyncio.sleep(0.1)
        first = await answer.read()
        assert len(first) < len(body)
        assert first + await whole(answer) == body
        answer.close()
        await pool.aclose()


async def test_an_upstream_that_is_not_there_is_unreachable() -> None:
    async with scripted(OK) as upstream:
        gone = ConnectionPool(upstream.url, 1)
    with pytest.raises(UnreachableError):
        await exchange(gone)
