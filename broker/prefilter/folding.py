"""A text as its reader sees it: one spelling for every letter, nothing invisible, and where each came from.

Knows: Unicode (UAX #15 NFKC, general categories, look-alikes). Must not know: any rule.
Folding goes character by character, so that it comes out the same wherever a stream was split.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType

SEPARATOR = "\0"
"""Never in a folded text, and no rule matches it."""

GAP = "\x01"
"""Stands in a folded text for each invisible character that was taken out, and for nothing else: neighbours
that nobody sees apart may belong together, or to different words."""

_NOTHING: Mapping[str, str] = MappingProxyType({})
_WHITE = "\t\n\v\f\r"
_MOST_GAPS = 8
_RUN, _NO_GAP = GAP * (_MOST_GAPS + 1), re.compile(f"[^{GAP}]")
_LOOK_ALIKES = str.maketrans(
    "аеорсухѕіјԁһԛԝАВЕКМНОРСТУХЅІЈοιανρυκτΑΒΕΖΗΙΚΜΝΟΡΤΥΧ−∕⁄ꓸ․˗⁃➖İı\u0085\u2028\u2029",
    "aeopcyxsijdhqwABEKMHOPCTYXSIJoiavpuktABEZHIKMNOPTYX-//..---Ii\n\n\n",
)
# Shown as nothing, though not of category Cf: Hangul fillers, grapheme joiner, Mongolian and other selectors
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0\u2800")
_SLICE = 65_536  # characters: one call into C keeps Python's lock as long as it lasts
_TAG_BASE = 0xE0000  # the invisible copy of ASCII, used to smuggle instructions past readers


@dataclass(frozen=True)
class Folded:
    """`text` is what a reader sees of `value`, with a GAP for what no reader sees; `changed` is what stands
    for which character. A combining mark leaves no gap: it belongs to the letter before it.

    >>> Folded("abc", "abc", {}).span(1, 2)
    (1, 2)
    """

    text: str
    value: str
    changed: Mapping[str, str]

    @property
    def plain(self) -> str:
        """`text` without its gaps."""
        return "".join([piece.replace(GAP, "") for piece in _slices(self.text)])

    @cached_property
    def origins(self) -> Sequence[int]:
        """For each character of `text` the index of the one in `value` it came from; never decreasing."""
        if all(len(plain) == 1 for plain in self.changed.values()):
            return range(len(self.value))
        get = self.changed.get
        return array("I", (i for i, character in enumerate(self.value) for _ in get(character, character)))

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The characters of `value` that `text[start:end]` came from; `start` < `end`."""
        return self.origins[start], self.origins[end - 1] + 1


def fold(value: str) -> Folded:
    """Folds compatibility forms, dashes, spaces, digits and look-alikes; what no reader sees becomes a GAP.

    >>> fold("ｓｋ\\u200b–１").plain
    'sk-1'
    """
    if value.isascii() and value.isprintable():
        return Folded(value, value, _NOTHING)
    characters: set[str] = set()
    for piece in _slices(value):
        characters |= set(piece)
    changed = {
        character: plain
        for character in characters
        if not " " <= character <= "~" and (plain := _folded(character)) != character
    }
    if not changed:
        return Folded(value, value, _NOTHING)
    table = {ord(was): plain for was, plain in changed.items()}
    return Folded("".join([piece.translate(table) for piece in _slices(value)]), value, changed)


def squeezed(text: str) -> tuple[str, Callable[[int], int]]:
    """`text` with few gaps in a row, so that none of its matches is stretched far, and where each character
    of that stands in `text`.

    >>> short, origin = squeezed("a" + GAP * 100 + "b")
    >>> len(short), origin(0), origin(9)
    (10, 0, 101)
    """
    places, removed, pieces = array("I"), array("I", (0,)), []
    done, run = 0, text.find(_RUN)
    while run >= 0:
        pieces.append(text[done : run + _MOST_GAPS])
        ended = _NO_GAP.search(text, run)
        done = ended.start() if ended else len(text)
        places.append(run + _MOST_GAPS - removed[-1])
        removed.append(removed[-1] + done - run - _MOST_GAPS)
        run = text.find(_RUN, done)
    return "".join([*pieces, text[done:]]), lambda place: place + removed[bisect_right(places, place)]


def _slices(value: str) -> Iterator[str]:
    return (value[start : start + _SLICE] for start in range(0, len(value), _SLICE))


@lru_cache(maxsize=16_384)
def _folded(character: str) -> str:
    if character in _WHITE:
        return character
    if (tag := ord(character) - _TAG_BASE) > 0 and " " <= chr(tag) <= "~":
        return chr(tag)
    return "".join(map(_plain, unicodedata.normalize("NFKC", character)))


def _plain(character: str) -> str:
    if unicodedata.combining(character):
        return ""
    category = unicodedata.category(character)
    if category in ("Cf", "Cc") and character != "\u0085":
        return GAP
    if character in _INVISIBLE or _is_selector(character):
        return GAP
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category == "Pd":
        return "-"
    return " " if category == "Zs" else character.translate(_LOOK_ALIKES)


def _is_selector(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"
