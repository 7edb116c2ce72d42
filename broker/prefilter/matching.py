"""Finding one rule's matches in a normalised text.

Knows: how a rule becomes regular expressions and how its check narrows a candidate. Must not know: which
rules there are, where texts come from.

What stands before and after a match may rule it out. A GAP there rules nothing out, and a GAP within hides
nothing: so each gap counts at its own place, and nowhere else in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property, lru_cache

from broker.prefilter.expression import Expression
from broker.prefilter.folding import GAP
from broker.prefilter.fractions import LOOKED_AT, UNDECIDED, is_fraction
from broker.prefilter.rules import Rule

CONTEXT = LOOKED_AT
"""Characters before a match that may rule it out, at most."""
_JOINED_BEFORE, _JOINED_AFTER = r"(?<![A-Za-z0-9][-_])(?<![0-9]\.)", r"(?![-_][A-Za-z0-9])(?!\.[0-9])"
_LABEL_BEFORE = r"(?<![0-9][-_])(?<![0-9]\.)"  # a word may stand there: `card-…`, `pan_…`
_JOINTS = rf"(?:[-_.]\Z|{UNDECIDED})"
_WINDOW = 32_768
_FURTHEST = 20_000
"""Characters after a core in which the rest of a match is looked for past gaps: more than any rule has."""


class Matcher:
    """One rule, compiled. Every quantifier is bounded: time is linear in the text."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        before = _LABEL_BEFORE if rule.labelled else _JOINED_BEFORE
        self._before = (f"(?<![{rule.before}])" if rule.before else "") + before * rule.unjoined
        self._after = (f"(?![{rule.after}])" if rule.after else "") + _JOINED_AFTER * rule.unjoined
        self._strict = re.compile(f"{self._before}{rule.core.full}{self._after}{rule.rest}")
        self._ends = re.compile(self._after)
        self.bare_opening = self._opening(rule.core)
        self._opened = re.compile(self.bare_opening)
        self.shortest = rule.core.shortest
        self.opening = self._before + self.bare_opening

    def _opening(self, core: Expression) -> str:
        """Any beginning of a match; the whole of one, too, and a joint that is the last character so far."""
        return f"(?:{core.opening}|{core.full}{_JOINTS})" if self.rule.unjoined else core.opening

    @cached_property
    def gapped_opening(self) -> str:
        """`opening` in a text with gaps."""
        return self._before + self._opening(self.rule.core.gapped)

    @cached_property
    def core(self) -> re.Pattern[str]:
        """What every match holds once the gaps are out, whatever stands around it."""
        return re.compile(self.rule.core.full)

    @cached_property
    def _gapped(self) -> re.Pattern[str]:
        return re.compile(f"{self._before}{self.rule.core.gapped.full}{self._after}")

    @cached_property
    def _gapped_opened(self) -> re.Pattern[str]:
        return re.compile(self._opening(self.rule.core.gapped))

    @cached_property
    def _tail(self) -> re.Pattern[str]:
        return re.compile(f"(?:{self.rule.tail}|{GAP}){{0,{_FURTHEST}}}")

    @cached_property
    def _rest(self) -> re.Pattern[str]:
        return re.compile(self.rule.rest)

    def matches(self, text: str, start: int = 0) -> Iterator[tuple[int, int]]:
        """Spans of the confirmed matches, from left to right, none overlapping another."""
        return (span for span in self.search(text, start) if span is not None)

    def search(self, text: str, start: int = 0) -> Iterator[tuple[int, int] | None]:
        """`matches`, with None between them now and then: other work may go on. A long text is searched by
        windows, for one search holds Python's lock as long as it takes.
        """
        while start < len(text):
            last, furthest = _window(text, start)
            gaps = text.find(GAP, start, furthest) >= 0
            pattern = self._gapped if gaps else self._strict
            while (match := pattern.search(text, start, furthest)) and match.start() < last:
                end = self._confirmed(text, match) if gaps else match.start() + self.rule.check(match[0])
                if self._ends.match(text, end) is None or self._is_part(text, match.start(), end):
                    end = match.start()  # a check may have shortened it
                start = max(end, match.start() + 1)
                if end > match.start():
                    start = self._whole(text, end)
                    yield match.start(), start
            start = max(start, last)
            yield None

    def _is_part(self, text: str, start: int, end: int) -> bool:
        """Whether what is unjoined is the fraction of a number."""
        return self.rule.unjoined and text[start:end].isdigit() and is_fraction(text, start, end)

    def _whole(self, text: str, end: int) -> int:
        """The end with the tail that belongs to a confirmed match."""
        tail = self._tail.match(text, end) if self.rule.tail else None
        return end + len(tail[0].rstrip(GAP)) if tail else end

    def may_grow(self, text: str, start: int) -> bool:
        """Whether more text could make another match of the one that begins at `start`, or none of it: some
        beginning of a match reaches from there to the end of `text`.
        """
        if not self.rule.after:
            return False  # the core alone is proof
        return (self._gapped_opened if GAP in text else self._opened).match(text, start) is not None

    def _confirmed(self, text: str, match: re.Match[str]) -> int:
        """Where the match with this core ends, its check and its rest looking past the gaps; where it begins
        if it is none.
        """
        start, core_end = match.span()
        core = match[0].replace(GAP, "")
        after = text[core_end : core_end + _FURTHEST].replace(GAP, "") if self.rule.rest else ""
        rest = self._rest.match(after)
        left = self.rule.check(core + (rest[0] if rest else ""))
        end = start
        while left:
            left -= text[end] != GAP
            end += 1
        return end


def _window(text: str, start: int) -> tuple[int, int]:
    """Before which place the matches of a window begin, and before which they end: gaps stretch them. It is
    as wide as what is looked at behind it, or a text of gaps would be searched again and again.
    """
    window = _WINDOW
    while True:
        last, reach = start + window, _FURTHEST
        while last + reach < len(text) and reach - text.count(GAP, last, last + reach) < _FURTHEST:
            reach *= 2
        if reach <= window or last + reach >= len(text):
            return last, last + reach
        window *= 2


@lru_cache(maxsize=1024)
def matcher(rule: Rule) -> Matcher:
    """The compiled rule, shared by all who look for it; immutable."""
    return Matcher(rule)
