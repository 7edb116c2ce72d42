"""Upstream is asked for the usage of a stream; whoever did not ask for it sees the stream as without.

Knows: `stream_options.include_usage` of chat and completions, and what it adds to a stream. Must not know:
prices, records. `/v1/responses` tells its usage unasked. Where bytes can stay as they were, they do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import cast

from broker.model.operation import Operation

OPTIONS = "stream_options"
_ASKS = frozenset({Operation.CHAT, Operation.COMPLETIONS})
_KEY = b'"stream_options"'
_OPENS = re.compile(rb"[ \t\r\n]*\{")
_COLON = re.compile(r"[ \t\r\n]*:[ \t\r\n]*")
_FIELD = b'"stream_options":{"include_usage":true},'
_LONGEST = 64 * 1024
_NOTHING_YET = (b',"usage":null', b', "usage": null', b'"usage":null,', b'"usage": null, ')


def lacks_usage(operation: Operation, document: Mapping[str, object]) -> bool:
    """Whether this is a stream that would come without its usage."""
    if operation not in _ASKS or document.get("stream") is not True:
        return False
    options = document.get(OPTIONS)
    if options is None:
        return True
    return isinstance(options, dict) and options.get("include_usage") is not True  # else upstream refuses it


def asking(document: Mapping[str, object]) -> dict[str, object]:
    """The document that asks for usage, its other options as they are."""
    options = document.get(OPTIONS)
    asked = {**options, "include_usage": True} if isinstance(options, dict) else {"include_usage": True}
    return {**document, OPTIONS: asked}


def asking_bytes(body: bytes, document: Mapping[str, object]) -> bytes | None:
    """`body`, which says `document`, with the question put into it and every other byte as it was. None where
    its options cannot be told from its texts.

    >>> asking_bytes(b'{ "a": 1.0}', {"a": 1.0})
    b'{"stream_options":{"include_usage":true}, "a": 1.0}'
    """
    if OPTIONS not in document:
        opens = _OPENS.match(body)
        return b"".join((body[: opens.end()], _FIELD, body[opens.end() :])) if opens else None
    head, key, rest = body.partition(_KEY)
    if not key or _KEY in rest:
        return None
    text = rest[:_LONGEST].decode("utf-8", "replace")
    colon = _COLON.match(text)
    try:
        end = json.JSONDecoder().raw_decode(text, colon.end())[1] if colon else 0
    except ValueError:
        return None
    written = json.dumps(asking(document)[OPTIONS], separators=(",", ":")).encode()
    asked = b"".join((head, key, b":", written, rest[len(text[:end].encode()) :]))
    return asked if end and json.loads(asked) == asking(document) else None  # not another, nested one


def unasked(event: bytes, document: object) -> bytes | None:
    """The event as it would have come had nobody asked for usage; None where it would not have come."""
    if not isinstance(document, dict) or "usage" not in document:
        return event
    usage = cast("object", document["usage"])
    if usage is None:
        for piece in _NOTHING_YET:
            if piece in event:
                alone = event.count(b'"usage"') == 1  # another one may be nested
                return event.replace(piece, b"") if alone else event
        return event
    return None if document.get("choices") == [] else event
