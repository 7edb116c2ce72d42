"""Step 10's pure half: what a reply is, and replies reshaped for the caller.

Knows: strict JSON, OpenAI's reply shapes. Must not know: streams in flight, records.
"""

from __future__ import annotations

from collections.abc import Callable

import orjson

from broker import strictjson
from broker.shaping import edits

MAX_DEPTH = 254
"""Levels of nesting that orjson writes."""

_SPELLED_OTHERWISE = (b" :", b"\t:", b"\n:", b"\r:", rb"\u0022", rb"\u003a", rb"\u003A")


def parse_reply(body: bytes) -> object:
    """The reply as strict JSON (RFC 7493), or None where it is none: no byte order mark, no key twice in one
    object, no NaN, nothing deeper than 254 levels. Two readers cannot read it differently.
    """
    try:
        document = orjson.loads(body)
        written = orjson.dumps(document)
    except (orjson.JSONDecodeError, TypeError):
        return None
    if written == body or _has_as_many_keys(body, written):
        return document
    try:
        return strictjson.parse(body, max_depth=MAX_DEPTH, bounds=None)
    except strictjson.StrictJsonError:
        return None


def _has_as_many_keys(body: bytes, written: bytes) -> bool:
    """Whether `body` certainly has no more keys than are left once it was read and written again. A key ends
    in `":`, and nothing else does but what strings hold; both hold that unless one is spelled otherwise.
    """
    if any(spelled in body for spelled in _SPELLED_OTHERWISE):
        return False
    return body.count(b'":') == written.count(b'":')


def visible_models(body: bytes, sees: Callable[[str], bool]) -> bytes:
    """The `/v1/models` list without the models the caller may not use."""
    document = parse_reply(body)
    if not isinstance(document, dict) or not isinstance(document.get("data"), list):
        return body
    kept = [entry for entry in document["data"] if isinstance(entry, dict) and sees(str(entry.get("id")))]
    return body if len(kept) == len(document["data"]) else orjson.dumps({**document, "data": kept})


def edit_reply(document: object, body: bytes) -> bytes:
    """A chat reply as the documented edits reply; anything else (an error) as it came."""
    if isinstance(document, dict) and "choices" in document:
        return orjson.dumps(edits.from_chat(document))
    return body
