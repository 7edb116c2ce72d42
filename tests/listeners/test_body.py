"""How a body is awaited: whole, in pieces, too slowly, or never."""

from __future__ import annotations

import asyncio

import pytest

from broker.errors import BrokerError, Kind
from broker.listeners.https import request
from broker.listeners.https.request import Message, Receive, read_body


def bringing(*messages: Message) -> Receive:
    """A connection that brings these messages, and then nothing ever again."""
    waiting = list(messages)

    async def receive() -> Message:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    return receive


def piece(body: bytes, *, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


@pytest.mark.parametrize("bodies", [(b"{}",), (b"{", b"}"), (b"", b"", b"{}")])
async def test_body_is_read_whole(bodies: tuple[bytes, ...]) -> None:
    *earlier, last = bodies
    receive = bringing(*(piece(body, more=True) for body in earlier), piece(last, more=False))
    assert await read_body({}, receive) == b"{}"


@pytest.mark.parametrize("sent", [[], [b"{"]], ids=["never begins", "never ends"])
async def test_body_that_does_not_come_is_given_up(
    monkeypatch: pytest.MonkeyPatch, sent: list[bytes]
) -> None:
    monkeypatch.setattr(request, "BODY_SECONDS", 0.02)
    stalled = bringing(*(piece(body, more=True) for body in sent))
    with pytest.raises(BrokerError) as caught:
        await read_body({"content-length": "10"}, stalled)
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, "body")


async def test_caller_that_leaves_is_no_timeout() -> None:
    gone = bringing(piece(b"{", more=True), {"type": "http.disconnect"})
    with pytest.raises(BrokerError) as caught:
        await read_body({"content-length": "10"}, gone)
    assert caught.value.kind is Kind.CALLER_GONE


@pytest.mark.parametrize("bodies", [(b"a" * 9,), (b"a" * 5, b"a" * 4)], ids=["at once", "in pieces"])
async def test_a_form_as_large_as_a_call_is_refused(bodies: tuple[bytes, ...]) -> None:
    """Issue 12, A.1: 16 MiB of `%41%41…` in a form took seconds to decode."""
    *earlier, last = bodies
    form = bringing(*(piece(body, more=True) for body in earlier), piece(last, more=False))
    with pytest.raises(BrokerError) as caught:
        await read_body({}, form, most=8)
    assert caught.value.kind is Kind.TOO_LARGE
