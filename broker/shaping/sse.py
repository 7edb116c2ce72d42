"""Server-sent events (WHATWG HTML, 9.2) cut into whole events, the bytes kept as they came.

Knows: where an event ends, what its fields are, which one OpenAI sends last. Must not know: sockets.
"""

from __future__ import annotations

import re
from itertools import pairwise

MAX_EVENT_BYTES = 8 * 1024 * 1024
_TERMINAL_TYPES = (b"response.completed", b"response.failed", b"response.incomplete", b"response.cancelled")
_END = re.compile(rb"\r\n\r\n|\n\r?\n|\r\r")
_PLAIN, _BLANK_LINE = b"data: ", b"\n\n"
_SEAM = 3  # bytes of an end that may have come with earlier chunks


class EventTooLargeError(ValueError):
    """One event is larger than MAX_EVENT_BYTES."""


class EventSplitter:
    """Feed it chunks, however they are split; it yields whole events, blank line included.

    >>> splitter = EventSplitter()
    >>> splitter.feed(b"data: 1\\n"), splitter.feed(b"\\ndata: 2")
    ([], [b'data: 1\\n\\n'])
    >>> splitter.rest
    b'data: 2'
    """

    __slots__ = ("_parts", "_size", "_tail")

    def __init__(self) -> None:
        self._keep(b"")

    @property
    def rest(self) -> bytes:
        """What has come of an event that has not ended."""
        return b"".join(self._parts)

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that `chunk` completes. Raises EventTooLargeError."""
        buffer = chunk
        if self._parts:
            seam = self._tail + chunk
            self._add(chunk)
            if _END.search(seam) is None:  # no byte of a long event is looked at, or copied, with every chunk
                return []
            buffer = b"".join(self._parts)
        *events, rest = _cut(buffer)
        if self._parts or rest:
            self._keep(rest)
        return events

    def _keep(self, rest: bytes) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._tail = b""
        if rest:
            self._add(rest)

    def _add(self, chunk: bytes) -> None:
        self._parts.append(chunk)
        self._size += len(chunk)
        self._tail = (self._tail + chunk[-_SEAM:])[-_SEAM:]
        if self._size > MAX_EVENT_BYTES:
            raise EventTooLargeError


def _cut(buffer: bytes) -> list[bytes]:
    """The events in it, and what stands behind the last one."""
    if b"\r" not in buffer:  # as OpenAI writes it
        *events, rest = buffer.split(_BLANK_LINE)
        return [*[event + _BLANK_LINE for event in events], rest]
    # "\r\n\r" + "\n" may still be on its way: "\r\r" is a legal end, "\r\n\r\n" is matched whole.
    ends = [0, *[match.end() for match in _END.finditer(buffer)], len(buffer)]
    return [buffer[start:end] for start, end in pairwise(ends)]


def _is_plain(event: bytes) -> bool:
    """Whether it is one line of data and nothing else, as OpenAI writes it."""
    first_end = len(event) - len(_BLANK_LINE)
    return event.startswith(_PLAIN) and event.find(b"\n") == first_end and b"\r" not in event


def field(event: bytes, name: bytes) -> bytes | None:
    """The value of a field; several `data` lines are joined by a newline. None where it is absent.

    >>> field(b"event: ping\\ndata: {}\\n\\n", b"data")
    b'{}'
    """
    if name == b"data" and _is_plain(event):
        return event[len(_PLAIN) : -len(_BLANK_LINE)]
    prefix = name + b":"
    values = [
        line[len(prefix) :].removeprefix(b" ") for line in event.splitlines() if line.startswith(prefix)
    ]
    return b"\n".join(values) if values else None


_BOM = b"\xef\xbb\xbf"
_IGNORED = frozenset((b"event", b"id", b"retry", b""))  # "" is a comment


def parts(event: bytes, *, first: bool) -> tuple[bytes | None, list[tuple[bytes, bytes]]]:
    """The data of an event as `field` gives it, and all its other lines: name and value, "" for a comment. A
    byte order mark before the `first` one is none of its bytes.

    >>> parts(b": ping\\nevent: x\\ndata: {}\\n\\n", first=False)
    (b'{}', [(b'', b'ping'), (b'event', b'x')])
    """
    if _is_plain(event):
        return event[len(_PLAIN) : -len(_BLANK_LINE)], []
    lines = event.removeprefix(_BOM).splitlines() if first else event.splitlines()
    data: list[bytes] = []
    others: list[tuple[bytes, bytes]] = []
    for line in lines:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            data.append(value)
        elif line:
            others.append((name, value))
    return (b"\n".join(data) if data else None), others


def is_joined_by_nobody(name: bytes) -> bool:
    """Whether a line of this name is a comment, or a field that every event has anew."""
    return name in _IGNORED


def is_last(data: bytes | None, others: list[tuple[bytes, bytes]]) -> bool:
    """`is_terminal` of an event that is in its `parts`."""
    return data == b"[DONE]" or any(
        name == b"event" and (value in _TERMINAL_TYPES or value == b"error") for name, value in others
    )


def may_be_terminal(text: bytes) -> bool:
    """Whether one of the events in `text` may be terminal: whether it is worth a look at each."""
    return b"[DONE]" in text or b"event:" in text


def is_terminal(event: bytes) -> bool:
    """Whether upstream ends its stream with this event: `[DONE]`, or a final `/v1/responses` event.

    An error event is terminal too: upstream has said all it will say.
    """
    if b"[DONE]" in event and field(event, b"data") == b"[DONE]":
        return True
    kind = field(event, b"event") if b"event:" in event else None
    return kind in _TERMINAL_TYPES or kind == b"error"
