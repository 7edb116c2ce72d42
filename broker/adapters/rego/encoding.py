"""Strings on their way into rego-cpp and back.

Knows: one defect of rego-cpp. Must not know: documents or decisions. The engine keeps a string as its JSON
spelling and many built-ins work on that spelling, so that `count` counts backslashes and `trim_space` can
free a quote: a caller could then write into the decision itself. Characters that JSON would escape therefore
enter the engine as stand-ins, code points nobody uses, and leave it as themselves.
"""

from __future__ import annotations

import re

_FIRST = 0x10FF00
_LAST = 0x10FFFF
_ESCAPED = [*range(0x20), ord('"'), ord("\\")]
_IN = {code: _FIRST + code for code in _ESCAPED}
_OUT = {_FIRST + code: f"\\u{code:04x}" for code in _ESCAPED}
_SPECIAL = re.compile('[\x00-\x1f"\\\\\U0010ff00-\U0010ffff]')
_RESERVED = re.compile("[\U0010ff00-\U0010ffff]")


def encode(text: str) -> bytes:
    """The UTF-8 that the engine may hold. Raises ValueError for lone surrogates and for stand-ins.

    >>> encode('a"b').decode() == "a" + chr(0x10FF00 + ord('"')) + "b"
    True
    """
    if _SPECIAL.search(text):
        if _RESERVED.search(text):
            raise ValueError("a string holds a code point between U+10FF00 and U+10FFFF")
        text = text.translate(_IN)
    return text.encode()


def standing(text: str) -> str:
    """`text` with stand-ins, as a JSON document is given to the engine."""
    return encode(text).decode()


def decode(document: str) -> str:
    """The engine's JSON answer with every stand-in replaced by the JSON escape of what it stands for."""
    return document if document.isascii() else document.translate(_OUT)
