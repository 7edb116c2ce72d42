"""What of a streamed reply may leave: no character of a match does, however the stream is split.

Knows: that a match may be spread over any number of deltas, and how to tell from a text's end whether one
may have begun. Must not know: events, wire formats, what ends a reply.

The guarantee. Take all texts fed to a channel as one, and any match in it (as `rules` describes it, on the
normalised form) of a rule that cuts. No count that `feed` or `finish` ever returns reaches past the match's
first character: until the match is complete its beginning is one of the rule's openings and is held; once
it is complete CutError is raised. Every rule has an opening; none has to hold a whole reply.
What can begin no match is released by the very call that brings it.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache

from broker.prefilter.folding import fold
from broker.prefilter.matching import Matcher, matcher
from broker.prefilter.rules import Rule, rules

LIMIT = 16 * 1024
"""Characters of one channel that are held at most; more are no text but an attempt to hide in it."""


class CutError(Exception):
    """A rule that ends replies has matched, or cannot be ruled out within LIMIT. `rule` is its id."""

    def __init__(self, rule: str) -> None:
        super().__init__(f"The reply matched {rule}.")
        self.rule = rule


class StreamFilter:
    """One reply's filter, for any number of channels (choices, tool calls …) independent of each other.

    `cuts` says of a rule id whether a match ends the reply; it is asked once a rule, at the start.
    `watched` are the rules to ask about, as `rules` makes them. Compiled expressions are shared by all
    filters with the same rules; a channel keeps only what it holds.
    """

    def __init__(self, cuts: Callable[[str], bool], watched: tuple[Rule, ...] | None = None) -> None:
        asked = rules() if watched is None else watched
        self._watch = _watch(tuple([rule for rule in asked if cuts(rule.id)]))
        self._channels: dict[Hashable, _Held] = {}
        self._cut: str | None = None

    def feed(self, channel: Hashable, text: str) -> int:
        """Takes the channel's next text; returns how many of its characters so far may leave.

        Raises CutError when a rule that cuts has matched; from then on always.
        """
        held = self._held(channel)
        held.fed += len(text)
        if self._watch is None:
            return held.fed
        known = held.text + text
        keep = self._decide(known, held.before, ended=False)
        held.before = min(keep, 1)  # the character before stays: it may rule a match out
        held.text = known[keep - held.before :]
        return held.fed - (len(known) - keep)

    def finish(self, channel: Hashable) -> int:
        """The channel has ended: all of it may leave. Raises CutError where only the end makes a match."""
        held = self._held(channel)
        if self._watch is not None:
            self._decide(held.text, held.before, ended=True)
        return held.fed

    def _held(self, channel: Hashable) -> _Held:
        if self._cut is not None:
            raise CutError(self._cut)
        held = self._channels.get(channel)
        if held is None:
            held = self._channels[channel] = _Held()
        return held

    def _decide(self, known: str, before: int, *, ended: bool) -> int:
        """Where in `known` the first undecided character is; the first `before` are decided already."""
        watch = self._watch
        assert watch is not None  # noqa: S101 - callers have looked
        folded = fold(known)
        loose = folded.dropped
        first = bisect_left(folded.origins, before) if before else 0
        rule = watch.match(folded.text, first, loose=loose, ended=ended)
        start = None if rule or ended else watch.undecided(folded.text, first, loose=loose)
        keep = len(known) if start is None else folded.origins[start]
        if rule is None and len(known) - keep > LIMIT:
            rule = watch.first
        if rule is not None:
            self._cut = rule
            self._channels.clear()
            raise CutError(rule)
        return keep


@dataclass(slots=True)
class _Held:
    """How much came, and its undecided end with the one character `before` it, where there is one."""

    fed: int = 0
    text: str = ""
    before: int = 0


class _Watch:
    """The rules that cut, compiled together; immutable."""

    def __init__(self, matchers: tuple[Matcher, ...]) -> None:
        self._matchers = matchers
        self._strict = re.compile("|".join(f"(?:{one.opening})" for one in matchers))
        self._loose = re.compile("|".join(f"(?:{one.loose_opening})" for one in matchers))
        self.first = matchers[0].rule.id

    def match(self, text: str, first: int, *, loose: bool, ended: bool) -> str | None:
        """The id of a rule that has matched and that nothing which follows can unmatch."""
        size = len(text)
        for one in self._matchers:
            if size < one.shortest:
                continue
            for _, end in one.matches(text, first, loose=loose):
                if ended or end < size or not one.rule.after:
                    return one.rule.id
        return None

    def undecided(self, text: str, first: int, *, loose: bool) -> int | None:
        """Where the first beginning of a match starts that reaches to the end of the text."""
        match = (self._loose if loose else self._strict).search(text, first)
        return match.start() if match else None


@lru_cache(maxsize=64)
def _watch(cutting: tuple[Rule, ...]) -> _Watch | None:
    return _Watch(tuple(map(matcher, cutting))) if cutting else None
