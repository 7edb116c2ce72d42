"""One call as the listeners decode it, and the reply as upstream gave it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from broker.model.operation import Operation


@dataclass(frozen=True, slots=True)
class Call:
    """A well-formed call. `body` are the caller's own bytes; `document` is the same body, parsed.

    `path` is the upstream path with the caller's raw query string. `document` is None where the
    operation has no body. `repr` shows neither body nor document.
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


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """What is sent upstream, after shaping. The key is not in it: the upstream adapter adds it."""

    method: str
    path: str
    body: bytes = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    stream: bool


@dataclass(frozen=True, slots=True)
class Reply:
    """A finished answer: `body` whole. Header names are lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class StreamReply:
    """An answer that is still arriving. Each item of `events` is one whole SSE event, bytes as upstream
    sent them, its blank line included. Iterating raises BrokerError when the stream may not go on;
    `aclose()` on the iterator ends the call early and still leaves its outcome record.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    events: AsyncIterator[bytes] = field(repr=False)
