"""Server-sent events (WHATWG HTML, 9.2) cut into whole events, the bytes kept as they came.

Knows: where an event ends, what its fields are, which one OpenAI sends last. Must not know: sockets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_EVENT_BYTES = 8 * 1024 * 1024
_TERMINAL_TYPES = (b"response.completed", b"response.failed", b"response.incomplete", b"response.cancelled")
_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")


class EventTooLargeError(ValueError):
    """One event is larger than MAX_EVENT_BYTES."""


class EventSplitter:
    """Feed it chunks, however they are split; it yields whole events, blank line included.

    >>> splitter = EventSplitter()
    >>> list(splitter.feed(b"data: 1\\n")), list(splitter.feed(b"\\ndata: 2"))
    ([], [b'data: 1\\n\\n'])
    >>> splitter.rest
    b'data: 2'
    """

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = b""

    @property
    def rest(self) -> bytes:
        """What has come of an event that has not ended."""
        return self._buffer

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The events that `chunk` completes. Raises EventTooLargeError."""
        buffer = self._buffer + chunk if self._buffer else chunk
        start = 0
        for match in _END.finditer(buffer):
            # "\r\n\r" + "\n" may still be on its way: "\r\r" is a legal end, "\r\n\r\n" is matched whole.
            yield buffer[start : match.end()]
            start = match.end()
        self._buffer = buffer[start:]
        if len(self._buffer) > MAX_EVENT_BYTES:
            raise EventTooLargeError


def field(event: bytes, name: bytes) -> bytes | None:
    """The value of a field; several `data` lines are joined by a newline. None where it is absent.

    >>> field(b"event: ping\\ndata: {}\\n\\n", b"data")
    b'{}'
    """
    prefix = name + b":"
    values = [
        line[len(prefix) :].removeprefix(b" ") for line in event.splitlines() if line.startswith(prefix)
    ]
    return b"\n".join(values) if values else None


def is_terminal(event: bytes) -> bool:
    """Whether upstream ends its stream with this event: `[DONE]`, or a final `/v1/responses` event.

    An error event is terminal too: upstream has said all it will say.
    """
    if b"[DONE]" in event and field(event, b"data") == b"[DONE]":
        return True
    kind = field(event, b"event") if event.startswith(b"event:") else None
    return kind in _TERMINAL_TYPES or kind == b"error"
