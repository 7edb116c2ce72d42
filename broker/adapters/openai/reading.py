"""Upstream's answer, as far as it may go on: its headers, its body or its events.

Knows: OpenAI's stream endings, which headers callers see. Must not know: retries, policy, records, sockets.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from itertools import takewhile

from broker.adapters.openai.connection import BrokenError
from broker.adapters.openai.pool import UpstreamResponse
from broker.adapters.openai.refusals import interrupted, unavailable
from broker.errors import BrokerError
from broker.model.call import EventBatch, Events, Reply, StreamReply
from broker.model.secret import Secret
from broker.shaping.sse import EventSplitter, EventTooLargeError, is_terminal, may_be_terminal

MAX_REPLY_BYTES = 64 * 1024 * 1024
_LOOKED_AT_BYTES = 4 * 1024 * 1024
_PASSED = frozenset(
    {"content-type", "x-request-id", "retry-after", "retry-after-ms", "cache-control", "x-should-retry"}
)
_PASSED_PREFIXES = ("x-ratelimit-", "openai-")
_BLANK_LINE = b"\n\n"
_AT_ONCE_BYTES = 16 * 1024
"""Of a stream, cut into events together: as many as 8,000, which takes some 2 ms."""
_TOGETHER = 64
"""So many of them are handed on together at most: to judge them takes a millisecond."""


async def taken(answer: UpstreamResponse, key: Secret) -> Reply | StreamReply:
    """The answer, unless it is of no use to the caller or gives the key away. No error's frame shows that."""
    if 300 <= answer.status < 400 or answer.header("content-encoding") not in {None, "identity"}:  # noqa: PLR2004
        answer.close()
        raise unavailable("The upstream answered with a redirect or an encoding nobody asked for.")
    if is_event_stream(answer.header("content-type")):
        return StreamReply(
            answer.status, _passed(answer, key), Events(_events(answer, key), _closing(answer))
        )
    body = await whole(answer, MAX_REPLY_BYTES)
    if key.is_in(body) if len(body) <= _LOOKED_AT_BYTES else await _holds(key, body):
        del body
        raise _given_away()
    return Reply(answer.status, _passed(answer, key), body)


def reply(answer: UpstreamResponse, body: bytes, key: Secret) -> Reply:
    """The answer with this body. Raises UPSTREAM_UNAVAILABLE where that gives the key away."""
    if key.is_in(body):
        del body
        raise _given_away()
    return Reply(answer.status, _passed(answer, key), body)


async def _holds(key: Secret, body: bytes) -> bool:
    """Whether a long body holds the key: by overlapping pieces, between which others have the event loop."""
    overlap = len(key.reveal().encode())
    for start in range(0, len(body), _LOOKED_AT_BYTES):
        if key.is_in(body[start : start + _LOOKED_AT_BYTES + overlap]):
            return True
        await asyncio.sleep(0)
    return False


def _given_away() -> BrokerError:
    return unavailable("The upstream's reply held the key it was called with.")


async def whole(answer: UpstreamResponse, most: int) -> bytes:
    """The body, at most so many bytes. Raises UPSTREAM_UNAVAILABLE, whose frames hold nothing of it: it could
    give the key away.
    """
    chunks: list[bytes] = []
    size = 0
    try:
        while not answer.ended:
            chunks.append(await answer.read())
            size += len(chunks[-1])
            if size > most:
                chunks.clear()
                raise unavailable(f"The upstream's reply is larger than {most} bytes.")
    except BrokenError:
        chunks.clear()
        raise unavailable("The upstream broke off its reply.") from None
    finally:
        answer.close()
    return b"".join(chunks)


def is_event_stream(content_type: str | None) -> bool:
    """Whether a body is a stream of events: the media type, in any letters and with any parameters (RFC 9110,
    8.3.1).

    >>> is_event_stream("Text/Event-Stream ; charset=utf-8"), is_event_stream("text/event-streams")
    (True, False)
    """
    return content_type is not None and content_type.partition(";")[0].strip().lower() == "text/event-stream"


def _passed(answer: UpstreamResponse, key: Secret) -> tuple[tuple[str, str], ...]:
    passed = [
        (name, value)
        for name, value in answer.headers
        if (name in _PASSED or name.startswith(_PASSED_PREFIXES)) and key.reveal() not in value
    ]
    return tuple(passed)


def _closing(answer: UpstreamResponse) -> Callable[[], Awaitable[None]]:
    async def close() -> None:
        answer.close()

    return close


async def _events(answer: UpstreamResponse, key: Secret) -> AsyncGenerator[EventBatch, None]:
    """Whole events as they come, the first by itself: it waits for none that came with it.
    UPSTREAM_INTERRUPTED unless the last one was terminal, or where one gives the key away.
    """
    splitter = EventSplitter()
    ended = False
    sent = 0
    try:
        while chunk := await answer.read():
            for start in range(0, len(chunk), _AT_ONCE_BYTES):
                events = splitter.feed(chunk[start : start + _AT_ONCE_BYTES])
                said = b"".join(events)  # one look at all of them is cheaper than one at each
                clean = _without(key, events) if key.is_in(said) else events
                ended = ended or (may_be_terminal(said) and any(map(is_terminal, clean)))
                for batch in _batches(clean, begins=sent == 0):
                    sent += sum(map(len, batch))
                    yield batch
                if len(clean) < len(events):
                    del events, said, chunk
                    raise interrupted(sent)
        if not ended and is_terminal(last := splitter.rest + _BLANK_LINE) and not key.is_in(last):
            ended = True  # upstream has ended the body behind its terminal event, without the blank line
            yield [last]
    except (BrokenError, EventTooLargeError):
        raise interrupted(sent) from None
    finally:
        answer.close()
    if not ended:
        raise interrupted(sent)


def _without(key: Secret, events: EventBatch) -> EventBatch:
    """Those before the first event that gives the key away."""
    return list(takewhile(lambda event: not key.is_in(event), events))


def _batches(events: EventBatch, *, begins: bool) -> Iterator[EventBatch]:
    if begins and events:
        yield events[:1]
    for start in range(int(begins), len(events), _TOGETHER):
        yield events[start : start + _TOGETHER]
