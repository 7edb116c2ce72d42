"""What an event and the next one have in common: bytes that stay, and strings and a number that change.

Knows: JSON (RFC 8259) inside events, and which members a piece of an answer changes. Must not know: rules,
money, who reads.

A template says no more of an event than its bytes do: between the holes every byte is the same, and what is
in a hole needs no escape, so that both parse to the same document but for what the holes hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

Path = tuple[str | int, ...]
TEXTS: frozenset[Path] = frozenset({("choices", 0, "delta", "content"), ("choices", 0, "text"), ("delta",)})
"""Where a chunk of a chat, of a completion or of a response has its piece of text."""
_NOISE: frozenset[Path] = frozenset({("system_fingerprint",), ("obfuscation",)})
_COUNTING: Path = ("sequence_number",)
_NUMBER = re.compile(rb"0|[1-9][0-9]{0,9}")
_COUNTED = re.compile(rb"(:[ ]?)(?:0|[1-9][0-9]{0,9})(?=[,}])")
_LONGEST = 512  # characters of a string: a longer one may be no text, which only its document tells


class Leaf(NamedTuple):
    """A string of a document: a member's name (`key`), or a value."""

    path: Path
    text: str
    key: bool

    @property
    def changes(self) -> bool:
        return not self.key and (self.path in TEXTS or self.path in _NOISE)


def leaves(value: object, path: Path = ()) -> Iterator[Leaf]:
    """Every string of a document, in the order of its bytes."""
    if isinstance(value, str):
        yield Leaf(path, value, key=False)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield Leaf((*path, name), name, key=True)
            yield from leaves(inner, (*path, name))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from leaves(inner, (*path, place))


class Template:
    """An event with holes. `match` gives what another event has in the strings among them, in order."""

    __slots__ = ("_head", "_rest")

    def __init__(self, head: bytes, rest: list[tuple[bool, bytes]]) -> None:
        self._head = head
        self._rest = tuple(rest)

    def match(self, event: bytes) -> list[str] | None:
        """None for an event that differs in more, or that has more than plain text in its holes."""
        if b"\\" in event or not event.startswith(self._head):
            return None
        holes: list[bytes] = []
        place = len(self._head)
        for counts, after in self._rest:
            end = _number_end(event, place) if counts else event.find(b'"', place)
            if end < 0 or not event.startswith(after, end):
                return None
            if not counts:
                holes.append(event[place:end])
            place = end + len(after)
        return _plain(holes) if place == len(event) else None


def template(event: bytes, strings: Sequence[Leaf]) -> Template | None:
    """The template of an event whose data has these `leaves`; None where they cannot be told by their quotes
    alone, or where nothing in it changes.

    >>> known = tuple(leaves({"delta": "a", "sequence_number": 7}))
    >>> made = template(b'data: {"delta":"a","sequence_number":7}\\n\\n', known)
    >>> made.match(b'data: {"delta":"bc","sequence_number":18}\\n\\n')
    ['bc']
    >>> made.match(b'data: {"delta":"b","error":"c","sequence_number":18}\\n\\n')
    """
    if b"\\" in event:
        return None
    pieces = event.split(b'"')
    if pieces[1::2] != [leaf.text.encode() for leaf in strings]:
        return None
    head: bytes | None = None
    rest: list[tuple[bool, bytes]] = []
    counts, kept = False, [pieces[0]]

    def hole(*, number: bool) -> None:
        nonlocal head, counts, kept
        if head is None:
            head = b"".join(kept)
        else:
            rest.append((counts, b"".join(kept)))
        counts, kept = number, []

    for leaf, text, after in zip(strings, pieces[1::2], pieces[2::2], strict=True):
        if leaf.changes:
            kept.append(b'"')
            hole(number=False)
            kept += (b'"', after)
        elif leaf.key and leaf.path == _COUNTING and (counted := _COUNTED.match(after)):
            kept += (b'"', text, b'"', counted[1])
            hole(number=True)
            kept.append(after[counted.end() :])
        else:
            kept += (b'"', text, b'"', after)
    return None if head is None else Template(head, [*rest, (counts, b"".join(kept))])


def _number_end(event: bytes, place: int) -> int:
    number = _NUMBER.match(event, place)
    return -1 if number is None else number.end()


def _plain(contents: Sequence[bytes]) -> list[str] | None:
    """The texts of JSON strings with these contents, which hold no backslash, where they are no more than
    their characters.
    """
    try:
        texts = [content.decode() for content in contents]
    except UnicodeDecodeError:
        return None
    for text in texts:
        if len(text) > _LONGEST or not text.isprintable():
            return None
    return texts
