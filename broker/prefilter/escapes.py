"""JSON escapes inside strings: tool arguments are JSON in a string, and hide what they escape.

Knows: RFC 8259 section 7. Must not know: rules, documents.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable

_DEPTH = 3  # escapes of escapes of escapes
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_BEGUN = re.compile(r"(?<!\\)(?:\\\\)*+(\\(?:u[0-9a-fA-F]{0,3})?)\Z")
_CONTROL = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


def unescaped(value: str) -> str:
    """The string with its JSON escapes resolved, also escapes of escapes.

    It need not be valid JSON: half of a tool call's arguments hides as much as all of them.

    >>> unescaped(r'{"key": "sk\\u002dproj"}')
    '{"key": "sk-proj"}'
    """
    for _ in range(_DEPTH):
        if "\\" not in value:
            break
        value = _ESCAPE.sub(_unescape, value)
    return value


class Unescaping:
    """`unescaped` of a text that comes in pieces; an escape may be cut anywhere.

    >>> pieces = Unescaping()
    >>> pieces.feed(r"sk\\u00"), pieces.pending, pieces.feed("2dproj"), pieces.end()
    ('sk', True, '-proj', '')
    """

    __slots__ = ("_begun",)

    def __init__(self) -> None:
        self._begun = [""] * _DEPTH

    @property
    def pending(self) -> bool:
        """Whether an escape has begun and not ended."""
        return any(self._begun)

    def feed(self, text: str) -> str:
        """What the next piece adds."""
        for level, begun in enumerate(self._begun):
            if not begun and "\\" not in text:
                continue
            known = begun + text
            half = _BEGUN.search(known)
            self._begun[level] = half[1] if half else ""
            text = _ESCAPE.sub(_unescape, known[: half.start(1)] if half else known)
        return text

    def end(self) -> str:
        """What is left: escapes that never ended stand for themselves."""
        text = ""
        for level, begun in enumerate(self._begun):
            text = _ESCAPE.sub(_unescape, begun + text)
            self._begun[level] = ""
        return text


def _unescape(match: re.Match[str]) -> str:
    code, character = match.groups()
    return chr(int(code, 16)) if code else _CONTROL.get(character, character)


def levels(value: str) -> list[Callable[[int], int]]:
    """For each time that `unescaped` resolves escapes: from places behind it to places before it."""
    levels: list[Callable[[int], int]] = []
    for _ in range(_DEPTH):
        if "\\" not in value:
            break
        behind, before, shift = [0], [0], 0
        for match in _ESCAPE.finditer(value):
            shift += match.end() - match.start() - 1
            behind.append(match.end() - shift)
            before.append(match.end())
        levels.append(_origins(behind, before))
        value = _ESCAPE.sub(_unescape, value)
    return levels


def _origins(behind: list[int], before: list[int]) -> Callable[[int], int]:
    def origin(place: int) -> int:
        known = bisect_right(behind, place) - 1
        return before[known] + place - behind[known]

    return origin
