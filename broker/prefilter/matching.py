"""Finding one rule's matches in a normalised text.

Knows: how a rule becomes regular expressions and how its check narrows a candidate. Must not know: which
rules there are, where texts come from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from broker.prefilter.rules import Rule


class Matcher:
    """One rule, compiled. Every quantifier is bounded: time is linear in the text."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        before = f"(?<![{rule.before}])" if rule.before else ""
        after = f"(?![{rule.after}])" if rule.after else ""
        self._strict = re.compile(f"{before}{rule.core.full}{after}{rule.rest}")
        # where invisible characters were taken out, neighbours prove nothing: boundaries are not asked for
        self._loose = re.compile(rule.core.full + rule.rest)

        self.shortest = rule.core.shortest
        self.opening = before + rule.core.opening
        self.loose_opening = rule.core.opening

    def matches(self, text: str, start: int = 0, *, loose: bool = False) -> Iterator[tuple[int, int]]:
        """Spans of the confirmed matches, from left to right, none overlapping another."""
        search = (self._loose if loose else self._strict).search
        check = self.rule.check
        while (match := search(text, start)) is not None:
            length = check(match[0])
            start = match.start() + length if length else match.start() + 1
            if length:
                yield match.start(), start


@lru_cache(maxsize=1024)
def matcher(rule: Rule) -> Matcher:
    """The compiled rule, shared by all who look for it; immutable."""
    return Matcher(rule)
