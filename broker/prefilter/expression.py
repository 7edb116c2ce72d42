"""A small algebra of bounded patterns: from one description, the pattern itself and that of its beginnings.

Knows: how a pattern is written for `re` and hyperscan (only what both read alike), and how to recognise
that the end of a text may be the beginning of a match. Must not know: any rule.

Everything is bounded, so no expression can backtrack without limit and a stream holds back little.

>>> import re
>>> key = Then(Word("sk-"), Some("[a-z]", 2, 4))
>>> key.full
'sk\\\\-[a-z]{2,4}'
>>> [bool(re.search(key.opening, text)) for text in ("ask", "ask-x", "sk-abcd", "sk-abcd.", "sk:")]
[True, True, True, False, False]
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from broker.prefilter.folding import GAP


class Expression(Protocol):
    """`full` matches the whole thing; `opening` any non-empty beginning of it, at the end of a text.

    `shortest` is the fewest characters that `full` matches; `gapped` the same with a GAP after any character.
    """

    @property
    def full(self) -> str: ...
    @property
    def opening(self) -> str: ...
    @property
    def shortest(self) -> int: ...
    @property
    def gapped(self) -> Expression: ...


_GAPS = f"{GAP}*"  # nothing else matches a gap, so their number costs no backtracking


@dataclass(frozen=True, slots=True)
class Word:
    """These characters; ASCII and other letters in either case if `caseless`."""

    literal: str
    caseless: bool = False
    after: str = ""  # what may follow each of the characters

    @property
    def full(self) -> str:
        return self._cased("".join(re.escape(character) + self.after for character in self.literal))

    @property
    def opening(self) -> str:
        nested = ""
        for character in reversed(self.literal):
            nested = re.escape(character) + self.after + (f"(?:{nested})?" if nested else "")
        return self._cased(nested) + r"\Z"

    @property
    def shortest(self) -> int:
        return len(self.literal)

    @property
    def gapped(self) -> Expression:
        return Word(self.literal, self.caseless, _GAPS)

    def _cased(self, pattern: str) -> str:
        return f"(?i:{pattern})" if self.caseless else pattern


@dataclass(frozen=True, slots=True)
class Some:
    """Between `least` and `most` characters of a class, written `[…]`."""

    characters: str
    least: int
    most: int
    after: str = ""  # what may follow each of them

    @property
    def full(self) -> str:
        return f"{self._one}{{{self.least},{self.most}}}"

    @property
    def opening(self) -> str:
        return f"{self._one}{{1,{self.most}}}\\Z"

    @property
    def _one(self) -> str:
        return f"(?:{self.characters}{self.after})" if self.after else self.characters

    @property
    def shortest(self) -> int:
        return self.least

    @property
    def gapped(self) -> Expression:
        return Some(self.characters, self.least, self.most, _GAPS)


class Then:
    """One after the other."""

    def __init__(self, *parts: Expression) -> None:
        self.full = "".join(part.full for part in parts)
        opening = parts[-1].opening
        for part in reversed(parts[:-1]):
            opening = f"(?:{part.opening}|{part.full}{opening})"
        self.opening = f"(?:{opening})"
        self.shortest = sum(part.shortest for part in parts)
        self._parts = parts

    @property
    def gapped(self) -> Expression:
        return Then(*(part.gapped for part in self._parts))


class Either:
    """Any one of them."""

    def __init__(self, *choices: Expression) -> None:
        self.full = f"(?:{'|'.join(choice.full for choice in choices)})"
        self.opening = f"(?:{'|'.join(choice.opening for choice in choices)})"
        self.shortest = min(choice.shortest for choice in choices)
        self._choices = choices

    @property
    def gapped(self) -> Expression:
        return Either(*(choice.gapped for choice in self._choices))


class Times:
    """The same, between `least` and `most` times."""

    def __init__(self, part: Expression, least: int, most: int) -> None:
        self.full = f"(?:{part.full}){{{least},{most}}}"
        self.opening = f"(?:{part.full}){{0,{most - 1}}}(?:{part.opening})"
        self.shortest = least * part.shortest
        self._repeated = part, least, most

    @property
    def gapped(self) -> Expression:
        part, least, most = self._repeated
        return Times(part.gapped, least, most)


def digits(count: int, most: int | None = None) -> Some:
    return Some("[0-9]", count, most or count)


def maybe(part: Expression) -> Times:
    return Times(part, 0, 1)


def phrase(words: str) -> Then:
    """Words in either case with any white space (or `_`, `-`) between them."""
    gap = Some(r"[ \t-\r_-]", 1, 16)
    parts: list[Expression] = []
    for word in words.split():
        parts += [gap, Word(word, caseless=True)] if parts else [Word(word, caseless=True)]
    return Then(*parts)
