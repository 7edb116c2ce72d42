"""Finding one rule's matches in a normalised text.

Knows: how a rule becomes regular expressions and how its check narrows a candidate. Must not know: which
rules there are, where texts come from.

What stands before and after a match may rule it out. A GAP there rules nothing out, and a GAP within hides
nothing: so each gap counts at its own place, and nowhere else in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from broker.prefilter.expression import Expression
from broker.prefilter.folding import GAP
from broker.prefilter.rules import Rule

CONTEXT = 2
"""Characters before a match that may rule it out, at most."""
_JOINED_BEFORE, _JOINED_AFTER = r"(?<![A-Za-z0-9][-_])(?<![0-9]\.)", r"(?![-_][A-Za-z0-9])(?!\.[0-9])"
_JOINTS = r"[-_.]\Z"
_FURTHEST = 20_000
"""Characters after a core in which the rest of a match is looked for past gaps: more than any rule has."""


class Matcher:
    """One rule, compiled. Every quantifier is bounded: time is linear in the text."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        before = (f"(?<![{rule.before}])" if rule.before else "") + _JOINED_BEFORE * rule.unjoined
        after = (f"(?![{rule.after}])" if rule.after else "") + _JOINED_AFTER * rule.unjoined
        gapped = rule.core.gapped
        self._strict = re.compile(f"{before}{rule.core.full}{after}{rule.rest}")
        self._gapped = re.compile(f"{before}{gapped.full}{after}")
        self._ends = re.compile(after)
        self._rest = re.compile(rule.rest)
        self.core = re.compile(rule.core.full)
        """What every match holds once the gaps are out, whatever stands around it."""

        self.bare_opening = self._opening(rule.core)
        self.opening = before + self.bare_opening
        self.gapped_opening = before + self._opening(gapped)
        """`opening` in a text with gaps."""

        self._opened = re.compile(self.bare_opening)
        self._gapped_opened = re.compile(self._opening(gapped))
        self.shortest = rule.core.shortest

    def _opening(self, core: Expression) -> str:
        """Any beginning of a match; the whole of one, too, and a joint that is the last character so far."""
        return f"(?:{core.opening}|{core.full}{_JOINTS})" if self.rule.unjoined else core.opening

    def matches(self, text: str, start: int = 0) -> Iterator[tuple[int, int]]:
        """Spans of the confirmed matches, from left to right, none overlapping another."""
        gaps = GAP in text
        search = (self._gapped if gaps else self._strict).search
        check = self.rule.check
        while (match := search(text, start)) is not None:
            if gaps:
                end = self._confirmed(text, match.start(), match.end())
                length = end - match.start()
            else:
                length = check(match[0])
            if self._ends.match(text, match.start() + length) is None:  # a check may have shortened it
                length = 0
            start = match.start() + (length or 1)
            if length:
                yield match.start(), start

    def may_grow(self, text: str, start: int) -> bool:
        """Whether more text could make another match of the one that begins at `start`, or none of it: some
        beginning of a match reaches from there to the end of `text`.
        """
        if not self.rule.after:
            return False  # the core alone is proof
        return (self._gapped_opened if GAP in text else self._opened).match(text, start) is not None

    def _confirmed(self, text: str, start: int, core_end: int) -> int:
        """Where the match that begins at `start` ends, its check and its rest looking past the gaps; `start`
        where it is none.
        """
        core = text[start:core_end].replace(GAP, "")
        after = text[core_end : core_end + _FURTHEST].replace(GAP, "") if self.rule.rest else ""
        rest = self._rest.match(after)
        left = self.rule.check(core + (rest[0] if rest else ""))
        end = start
        while left:
            left -= text[end] != GAP
            end += 1
        return end


@lru_cache(maxsize=1024)
def matcher(rule: Rule) -> Matcher:
    """The compiled rule, shared by all who look for it; immutable."""
    return Matcher(rule)
