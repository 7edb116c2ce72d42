"""Whatever goes wrong with the upstream, no frame of the error shows the key: hunted, not trusted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from broker.adapters.clock import SystemClock
from broker.adapters.openai import Deadlines, OpenAIUpstream, RetryPolicy, UpstreamOrigin
from broker.model.call import StreamReply, UpstreamRequest
from broker.model.secret import Lease, Secret
from broker.model.sends import Sends
from tests.frames import chain, shown
from tests.openai.server import OK, scripted

KEY = "sk-canary-of-frames-0123456789abcdef"
ECHO = KEY.encode()
REQUEST = UpstreamRequest("POST", "/v1/chat/completions", b"", (("accept", "*/*"),), stream=False)


def _answer(body: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join((b"HTTP/1.1 200 OK", *fields, b"", body))


def _whole(body: bytes, *fields: bytes) -> bytes:
    return _answer(body, b"content-length: %d" % len(body), *fields)


ANSWERS: dict[str, bytes | None] = {
    "hung up": None,
    "garbage": b"SMTP ready " + ECHO + b"\r\n\r\n",
    "echo": _whole(b'{"you": "' + ECHO + b'"}'),
    "echo, then cut off": _answer(b'{"you": "' + ECHO, b"content-length: 1000"),
    "echo in a stream": _whole(b"data: " + ECHO + b"\n\n", b"content-type: text/event-stream"),
    "stream cut off": _answer(b"data: 1\n\n", b"content-length: 1000", b"content-type: text/event-stream"),
    "redirect": b"HTTP/1.1 307 Go\r\nlocation: https://evil/" + ECHO + b"\r\ncontent-length: 0\r\n\r\n",
    "encoded": _whole(ECHO, b"content-encoding: gzip"),
}


async def _caught(work: Callable[[], Awaitable[object]]) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - whatever it is, it must not show the key
        await work()
    return caught.value


def _upstream(url: str, connect: float = 1.0) -> OpenAIUpstream:
    deadlines = Deadlines(connect=connect, read=1.0)
    return OpenAIUpstream(
        UpstreamOrigin.at(f"{url}/v1", 2, deadlines), {}, SystemClock(), RetryPolicy(attempts=2)
    )


async def _taken(upstream: OpenAIUpstream, request: UpstreamRequest = REQUEST) -> None:
    reply = await upstream.send(request, Lease("test:key", 1, Secret(KEY)), Sends())
    if isinstance(reply, StreamReply):
        _ = [event async for event in reply.events]


@pytest.mark.parametrize("name", ANSWERS)
async def test_no_frame_of_an_upstream_error_shows_the_key(name: str) -> None:
    async with scripted(ANSWERS[name], closes=True) as server:
        upstream = _upstream(server.url)
        error = await _caught(lambda: _taken(upstream))
        assert any(ECHO in request for request in server.requests), "the key was never sent"
        await upstream.aclose()
    assert KEY not in shown(error)


async def test_no_frame_shows_the_key_where_nobody_answers() -> None:
    error = await _caught(lambda: _taken(_upstream("http://127.0.0.1:9")))
    assert KEY not in shown(error)


async def test_no_frame_of_a_cancelled_call_shows_the_key() -> None:
    async with scripted(b"") as server:
        call = asyncio.ensure_future(_taken(_upstream(server.url)))
        await server.asked.wait()
        call.cancel()
        error = await _caught(lambda: call)
    assert isinstance(error, asyncio.CancelledError)
    assert KEY not in shown(error)


async def test_no_frame_shows_the_key_where_a_header_is_refused() -> None:
    async with scripted(OK) as server:
        asked = UpstreamRequest("POST", "/v1/models", b"", (("x-evil", "a\r\nb"),), stream=False)
        error = await _caught(lambda: _taken(_upstream(server.url), asked))
    assert KEY not in shown(error)


def test_the_hunt_looks_into_hidden_contexts_and_locals() -> None:
    """A check that cannot fail shows nothing."""

    def leak() -> None:
        inner = KEY
        raise ValueError(len(inner))

    def hide() -> None:
        try:
            leak()
        except ValueError:
            raise LookupError from None

    with pytest.raises(LookupError) as caught:
        hide()
    assert len(list(chain(caught.value))) == 2
    assert KEY in shown(caught.value)
