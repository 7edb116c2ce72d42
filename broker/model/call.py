"""One call as the listeners decode it, and the reply as upstream gave it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from broker.model.operation import Operation


@dataclass(frozen=True, slots=True)
class Call:
    """A well-formed call. `body` are the caller's own bytes; `document` is the same body, parsed.

    `path` is the upstream path with the caller's raw query string. `document` is None where the
    operation has no body. `purpose` is why the caller breaks the glass, `target` the id of the
    stored object that the path names. `repr` shows neither body nor
    document.
    """

    operation: Operation
    method: str
    path: str
    body: bytes = field(repr=False)
    document: Mapping[str, object] | None = field(repr=False)
    model: str | None
    stream: bool = False
    user: str | None = field(default=None, repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    purpose: str | None = field(default=None, repr=False)
    target: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """What is sent upstream, after shaping. The key is not in it: the upstream adapter adds it. With
    `usage_added` it asks for a usage that the caller did not ask for.
    """

    method: str
    path: str
    body: bytes = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    stream: bool
    usage_added: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """A finished answer: `body` whole. Header names are lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)


EventBatch = list[bytes]
"""Whole SSE events that came together: bytes as upstream sent them, their blank lines included. There is one
at least; what many take of the event loop is a moment.
"""


@dataclass(frozen=True, slots=True)
class StreamReply:
    """An answer that is still arriving. Iterating `events` raises BrokerError when the stream may not go on;
    `aclose()` on the iterator ends the call early and still leaves its outcome record.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    events: AsyncIterator[EventBatch] = field(repr=False)


class Events(AsyncIterator[EventBatch]):
    """The events of a generator, with an `aclose` that runs `ended` even where no event was ever taken: a
    generator that was never started forgets its `finally`.
    """

    __slots__ = ("_ended", "_events")

    def __init__(
        self, events: AsyncGenerator[EventBatch, None], ended: Callable[[], Awaitable[None]]
    ) -> None:
        self._events = events
        self._ended = ended

    def __aiter__(self) -> AsyncGenerator[EventBatch, None]:
        return self._events

    def __anext__(self) -> Awaitable[EventBatch]:
        return self._events.__anext__()

    async def aclose(self) -> None:
        await self._events.aclose()
        await self._ended()
