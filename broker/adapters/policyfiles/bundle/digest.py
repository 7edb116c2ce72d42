"""The hash of a file in a bundle, as OPA computes it (its documentation, "Bundle signing").

Knows: that `data.json` and `.manifest` are hashed as what they say, members in order, and all else as bytes.
Must not know: signatures.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256

ALGORITHM = "SHA-256"
_STRUCTURED = ("data.json", ".manifest")


class _Number(str):
    """A number as it is written: OPA does not turn 1.0 into 1 either."""


def digest(name: str, content: bytes) -> str:
    """Hex SHA-256. Raises ValueError where a structured file is not JSON.

    >>> digest("data.json", b'{"b": 1.0, "a": "x"}') == digest("data.json", b'{"a":"x","b":1.0}')
    True
    """
    if name.rpartition("/")[2] not in _STRUCTURED:
        return sha256(content).hexdigest()
    value = json.loads(content, parse_int=_Number, parse_float=_Number)
    return sha256("".join(_walk(value)).encode("utf-8", "surrogatepass")).hexdigest()


def _walk(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        yield "{"
        for place, key in enumerate(sorted(value)):
            yield "," if place else ""
            yield f"{_text(key)}:"
            yield from _walk(value[key])
        yield "}"
    elif isinstance(value, list):
        yield "["
        for place, item in enumerate(value):
            yield "," if place else ""
            yield from _walk(item)
        yield "]"
    elif isinstance(value, _Number):
        yield str.__str__(value)
    else:
        yield _text(value) if isinstance(value, str) else json.dumps(value)


def _text(value: str) -> str:
    """As Go writes it, which also escapes the two line separators of Unicode."""
    return json.dumps(value, ensure_ascii=False).replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
