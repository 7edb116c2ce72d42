"""On which line of a TOML text each key stands: `tomllib` and tomlkit give values without positions.

Knows: TOML's syntax (1.0), as far as finding keys needs it. Must not know: any setting. The text must be one
that `tomllib` has read: what would be an error there is not looked for here.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Callable, Mapping

from broker.config.problem import Steps

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?!")'  # up to two more quotes may be the text's own
    r"|'''.*?'''(?!')"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}\n#]+")


def positions(text: str) -> Mapping[Steps, int]:
    """The line of each table, key and list element, counted from 1.

    >>> positions("[server]\\nhttps = 'localhost:1'")
    {('server',): 1, ('server', 'https'): 2}
    """
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


class _Scanner:
    """Reads on from `_at`, and notes each key's line."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Steps, int] = {}
        self._text = text
        self._at = 0
        self._ends = [found.start() for found in re.finditer("\n", text)]
        self._counts: dict[Steps, int] = {}

    def document(self) -> None:
        table: Steps = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            if self._text.startswith("[", self._at):
                table = self._header()
            else:
                self._pair(table)
            self._skip(_BLANK)

    def _header(self) -> Steps:
        """`[table]`, or `[[table]]`: one more of a list."""
        line = self._line()
        brackets = 2 if self._text.startswith("[[", self._at) else 1
        self._at += brackets
        *above, last = self._key()
        self._at += brackets
        table = (*self._resolved(above), last)
        if brackets == 2:  # noqa: PLR2004 - a pair of brackets is TOML's own
            self._note(table, line)
            self._counts[table] = self._counts.get(table, 0) + 1
        table = self._resolved_last(table)
        self._note(table, line)
        self.lines[table] = line
        return table

    def _resolved(self, key: list[str]) -> Steps:
        """A header's key with the number of the newest table where one of its steps is a list of them."""
        steps: Steps = ()
        for step in key:
            steps = self._resolved_last((*steps, step))
        return steps

    def _resolved_last(self, steps: Steps) -> Steps:
        return (*steps, self._counts[steps] - 1) if steps in self._counts else steps

    def _pair(self, table: Steps) -> None:
        line = self._line()
        place = (*table, *self._key())
        self._note(place, line)
        self._at += 1  # the equals sign
        self._skip(_SPACE)
        self._value(place)

    def _key(self) -> list[str]:
        """A dotted key, up to what follows it."""
        parts: list[str] = []
        while True:
            self._skip(_SPACE)
            parts.append(self._part())
            self._skip(_SPACE)
            if not self._text.startswith(".", self._at):
                return parts
            self._at += 1

    def _part(self) -> str:
        if (bare := _BARE.match(self._text, self._at)) is not None:
            self._at = bare.end()
            return bare[0]
        begin = self._at
        self._skip(_STRING)
        return str(tomllib.loads(f"key = {self._text[begin : self._at]}")["key"])

    def _value(self, place: Steps) -> None:
        if self._text.startswith("[", self._at):
            self._items("]", lambda number: self._element((*place, number)))
        elif self._text.startswith("{", self._at):
            self._items("}", lambda _number: self._pair(place))
        elif _STRING.match(self._text, self._at):
            self._skip(_STRING)
        else:
            self._skip(_SCALAR)

    def _items(self, end: str, item: Callable[[int], None]) -> None:
        """What stands between brackets, with commas between and perhaps behind."""
        self._at += 1
        number = 0
        self._skip(_BLANK)
        while not self._text.startswith(end, self._at):
            item(number)
            number += 1
            self._skip(_BLANK)
            if self._text.startswith(",", self._at):
                self._at += 1
                self._skip(_BLANK)
        self._at += 1

    def _element(self, place: Steps) -> None:
        self._note(place, self._line())
        self._value(place)

    def _note(self, place: Steps, line: int) -> None:
        """The line of a place, and of each table that is named here for the first time."""
        for length in range(1, len(place) + 1):
            self.lines.setdefault(place[:length], line)

    def _line(self) -> int:
        return bisect_right(self._ends, self._at - 1) + 1

    def _skip(self, pattern: re.Pattern[str]) -> None:
        if (found := pattern.match(self._text, self._at)) is not None:
            self._at = found.end()
