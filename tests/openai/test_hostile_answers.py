"""Answers that leave HTTP/1.1: a prompt, clear error, whatever it is, and never another call's answer."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.adapters.openai import Deadlines
from broker.errors import BrokerError, Kind
from broker.model.call import Reply, StreamReply
from tests.openai.client import Caller
from tests.openai.server import OK, scripted
from tests.sizes import sized

PATIENT = Deadlines()
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def head(*lines: bytes) -> bytes:
    return b"\r\n".join((b"HTTP/1.1 200 OK", *lines, b"", b"ok"))


def status_line(line: bytes) -> bytes:
    return line + b"\r\ncontent-length: 2\r\n\r\nok"


UNREADABLE: dict[str, bytes] = {
    **{f"status {status}": status_line(b"HTTP/1.1 " + status.encode() + b" X")
       for status in ("000", "001", "099", "600", "999", "1000", "20", "2e2", "-10", "+200", "0x1")},
    **{f"version {version}": status_line(version.encode() + b" 200 OK")
       for version in ("HTTP/0.9", "HTTP/2.0", "HTTP/2", "HTTP/1.2", "http/1.1", "HTTP/11.1")},
    "switching": status_line(b"HTTP/1.1 101 Switching"),
    "65 fields": head(b"content-length: 2", *(b"x-%d: 1" % number for number in range(64))),
    "2,500 fields": head(b"content-length: 2", *(b"x-%d: 1" % number for number in range(2500))),
    "a field too long": head(b"content-length: 2", b"x: " + b"y" * 17_000),
    "fields too long together": head(b"content-length: 2", *(b"x: " + b"y" * 600 for _ in range(30))),
    "interim answers without end": b"HTTP/1.1 100 Continue\r\nx: y\r\n\r\n" * 3000,
    "both framings": head(b"content-length: 2", b"transfer-encoding: chunked"),
    "both framings, turned round": head(b"transfer-encoding: chunked", b"content-length: 2"),
    "two equal lengths": head(b"content-length: 2", b"content-length: 2"),
    "two other lengths": head(b"content-length: 2", b"content-length: 3"),
    "two lengths in one": head(b"content-length: 2, 2"),
    **{f"length {length!r}": head(b"content-length: " + length)
       for length in (b"+2", b"2_0", b"0x2", b"-2", b"2.0", b"\xb2", b"", b"9" * 30)},
    **{f"coding {coding!r}": head(b"transfer-encoding: " + coding)
       for coding in (b"gzip", b"identity", b"gzip, chunked", b"chunked, gzip", b"chunked, chunked",
                    b"chunkedx")},
    "two codings": head(b"transfer-encoding: chunked", b"transfer-encoding: chunked"),
    "chunks over 1.0": CHUNKED.replace(b"1.1", b"1.0") + b"0\r\n\r\n",
    "a folded field": head(b"content-length: 2", b"x: a", b" b"),
    "a folded field with a tab": head(b"content-length: 2", b"x: a", b"\tb"),
    "a bare CR": head(b"content-length: 2", b"x: a\rb: c"),
    "a NUL": head(b"content-length: 2", b"x: a\0b"),
    "an escape": head(b"content-length: 2", b"x: a\x1b[2Jb"),
    "a delete": head(b"content-length: 2", b"x: a\x7f"),
    "a space in a name": head(b"content-length: 2", b"x y: a"),
    "a space before a colon": head(b"content-length : 2"),
    "no name": head(b"content-length: 2", b": a"),
    "no colon": head(b"content-length: 2", b"x"),
    "a letter beyond ASCII in a name": head(b"content-length: 2", b"\xe9: a"),
    **{f"chunk size {size[:20]!r}": CHUNKED + size + b"\r\nok\r\n0\r\n\r\n"
       for size in (b"F" * 17, b"-2", b"+2", b"2_0", b"0x2", b"", b"\xb2", b"g")},
    "chunk extensions without end": CHUNKED + b"2;" + b"x" * 300_000 + b"\r\nok\r\n0\r\n\r\n",
    "a chunk without its end": CHUNKED + b"2\r\nokay\r\n0\r\n\r\n",
    "65 trailers": CHUNKED + b"2\r\nok\r\n0\r\n" + b"x: y\r\n" * 65 + b"\r\n",
    "another protocol": b"SSH-2.0-OpenSSH\r\n\r\n",
}  # fmt: skip


async def told(raw: bytes, deadlines: Deadlines = PATIENT, *, closes: bool = False) -> Reply | BrokerError:
    """What becomes of a call that is answered so; fails where it takes longer than it should."""
    async with scripted(raw, closes=closes) as server:
        caller = Caller(server.url, deadlines)
        try:
            async with asyncio.timeout(20):
                answer = await caller.call()
                if isinstance(answer, StreamReply):
                    answer = Reply(
                        answer.status,
                        answer.headers,
                        b"".join([event async for batch in answer.events for event in batch]),
                    )
                return answer
        except BrokerError as error:
            return error
        finally:
            await caller.close()


@pytest.mark.parametrize("name", UNREADABLE)
async def test_an_answer_that_is_no_http_is_told_at_once(name: str) -> None:
    """The server keeps the connection open: nobody may wait for `read_seconds`."""
    began = time.monotonic()
    error = await told(UNREADABLE[name])
    assert isinstance(error, BrokerError), error
    assert (error.kind, error.unsent) == (Kind.UPSTREAM_UNAVAILABLE, False)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "raw",
    [
        OK,
        OK.replace(b" OK", b""),
        OK.replace(b"1.1", b"1.0"),
        head(b"Content-LENGTH: 2", b"x-e: caf\xe9", b"x-tab: a\tb", b"empty:"),
        head(b"content-length: 2", *(b"x-%d: 1" % number for number in range(63))),
        CHUNKED.replace(b"chunked", b"Chunked") + b"1;a=b\r\no\r\n1\r\nk\r\n0\r\n\r\n",
        b"HTTP/1.1 103 Early\r\nlink: a\r\n\r\n" * 5 + OK,
    ],
    ids=["plain", "no reason", "1.0", "letters", "64 fields", "chunks", "interim"],
)
async def test_what_is_legal_is_read(raw: bytes) -> None:
    answer = await told(raw, closes=True)
    assert isinstance(answer, Reply), answer
    assert (answer.status, answer.body) == (200, b"ok")


async def test_many_chunks_of_one_byte_are_legal() -> None:
    answer = await told(CHUNKED + b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n")
    assert isinstance(answer, Reply)
    assert len(answer.body) == 100_000


async def test_a_trailer_is_never_a_header() -> None:
    raw = CHUNKED + b"2\r\nok\r\n0\r\nx-request-id: forged\r\nretry-after: 9\r\n\r\n"
    answer = await told(raw)
    assert isinstance(answer, Reply)
    assert (answer.body, answer.headers) == (b"ok", ())


@pytest.mark.parametrize("status", [204, 304])
async def test_a_body_where_there_is_none_reaches_nobody(status: int) -> None:
    forged = b"HTTP/1.1 %d None\r\ncontent-length: %d\r\n\r\n" % (status, len(OK)) + OK
    async with scripted(forged, OK.replace(b"ok", b"no")) as server:
        caller = Caller(server.url)
        if status == 304:
            with pytest.raises(BrokerError):
                await caller.call()
        else:
            first = await caller.call()
            assert isinstance(first, Reply)
            assert (first.status, first.body) == (204, b"")
        second = await caller.call()
        assert isinstance(second, Reply)
        assert (second.body, server.connections) == (b"no", 2)
        await caller.close()


async def test_a_head_that_drips_is_given_up_in_its_time() -> None:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in OK * 100:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.05)

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        caller = Caller(f"http://127.0.0.1:{port}", Deadlines(read=0.3))
        began = time.monotonic()
        with pytest.raises(BrokerError, match="within its time"):
            await caller.call()
        assert time.monotonic() - began < 3


_PIECES = st.sampled_from(
    [b"\r", b"\n", b"\0", b":", b" ", b"\t", b";", b"HTTP/1.1 200 OK\r\n", b"content-length: 1\r\n",
     b"0\r\n\r\n", b"transfer-encoding: chunked\r\n", b"\r\n\r\n", b"\xff", b"999", b"-1", b"1_0",
     b"data: [DONE]\n\n"]
)  # fmt: skip
_VALID = st.sampled_from([OK, CHUNKED + b"2\r\nok\r\n0\r\n\r\n", head(b"content-type: text/event-stream")])


# A connection that the server accepted too late, behind the end of a test, is the test's own.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@settings(max_examples=sized(60), suppress_health_check=list(HealthCheck))
@given(_VALID, st.lists(st.tuples(st.integers(0, 90), st.integers(0, 3), _PIECES), min_size=1, max_size=4))
async def test_any_answer_ends_in_a_reply_or_an_error(
    valid: bytes, edits: list[tuple[int, int, bytes]]
) -> None:
    raw = valid
    for at, gone, piece in edits:
        raw = raw[:at] + piece + raw[at + gone :]
    answer = await told(raw, Deadlines(read=0.2), closes=True)
    if isinstance(answer, BrokerError):
        assert answer.kind in (Kind.UPSTREAM_UNAVAILABLE, Kind.UPSTREAM_INTERRUPTED)
    else:
        assert 200 <= answer.status <= 599


_PIECE = 4 * 1024 * 1024


@pytest.mark.parametrize("at", [0, _PIECE - 13, _PIECE - 5, _PIECE, 2 * _PIECE])
async def test_the_key_is_found_wherever_a_long_reply_holds_it(at: int) -> None:
    """It is looked for by pieces, so that a long reply does not keep the event loop."""
    body = b"x" * at + b"sk-0123456789" + b"y" * (_PIECE if at < _PIECE else 0)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    async with scripted(head + body) as server:
        caller = Caller(server.url)
        with pytest.raises(BrokerError, match="held the key"):
            await caller.call()
        await caller.close()
