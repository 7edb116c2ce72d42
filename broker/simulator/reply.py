"""What an operation answers with: one JSON document, or a stream of events.

Knows: bytes and server-sent events (WHATWG HTML, section 9.2). Must not know: HTTP delivery or faults.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import orjson

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Json:
    """A unary answer."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Events:
    """A streamed answer: whole events, blank line included, and the `terminal` one that proves the end."""

    events: Iterable[bytes]
    terminal: bytes


Reply = Json | Events


def dump(document: object) -> bytes:
    """Indented and newline-terminated, as OpenAI replies: bytes that no re-encoding reproduces by chance."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def ok(document: object) -> Json:
    return Json(200, dump(document))


def data_event(document: object) -> bytes:
    """An event without a name, as chat completions send."""
    return b"data: " + orjson.dumps(document) + b"\n\n"


def named_event(document: dict[str, object]) -> bytes:
    """An event named after its `type`, as responses send."""
    return f"event: {document['type']}\ndata: ".encode() + orjson.dumps(document) + b"\n\n"
