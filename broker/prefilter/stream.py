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
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NoReturn

from broker.prefilter.folding import GAP, fold
from broker.prefilter.matching import CONTEXT, Matcher, matcher
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
        self._channels: dict[Hashable, _HeldBack] = {}
        self._cut: str | None = None

    def feed(self, channel: Hashable, text: str) -> int:
        """Takes the channel's next text; returns how many of its characters so far may leave.

        Raises CutError when a rule that cuts has matched; from then on always.
        """
        kept = self.hold(channel, text)
        held = self._held(channel)
        held.fed += len(text)
        return held.fed - kept

    def hold(self, channel: Hashable, text: str) -> int:
        """Takes the channel's next text; returns how many characters of its end may not leave yet. Raises
        CutError as `feed` does.
        """
        if self._watch is None:
            return 0
        held = self._channels.get(channel) or self._held(channel)
        known = held.text + text
        if known.isascii() and known.isprintable():  # then every character stands for itself
            start = self._decide(known, held.before, ended=False)
            keep, decided = (len(known), known) if start is None else (start, known[:start])
        else:
            folded = fold(known)
            start = self._decide(folded.text, held.before, ended=False)
            keep = len(known) if start is None else folded.origins[start]
            decided = folded.text if start is None else folded.text[: bisect_left(folded.origins, keep)]
        held.before = (held.before + decided)[-CONTEXT:]  # as its reader sees it: it may rule a match out
        held.text = known[keep:]
        if len(held.text) > LIMIT:
            self._end(self._watch.first)
        return len(held.text)

    def opens(self, text: str) -> bool:
        """Whether what follows `text` could make a match of its end."""
        if self._watch is None:
            return False
        known = text[-LIMIT:]
        if not (known.isascii() and known.isprintable()):
            known = fold(known).text
        return self._watch.undecided(known, 0) is not None

    def forget(self, channel: Hashable) -> None:
        """Nothing goes on with what the channel has brought so far."""
        self._channels.pop(channel, None)

    def fork(self, channel: Hashable, other: Hashable) -> None:
        """From here on, `other` goes on with what the channel has brought so far."""
        if channel in self._channels:
            self._channels[other] = replace(self._channels[channel])

    def finish(self, channel: Hashable) -> int:
        """The channel has ended: all of it may leave. Raises CutError where only the end makes a match."""
        held = self._held(channel)
        if self._watch is not None:
            self._decide(fold(held.text).text, held.before, ended=True)
        return held.fed

    def _held(self, channel: Hashable) -> _HeldBack:
        if self._cut is not None:
            raise CutError(self._cut)
        held = self._channels.get(channel)
        if held is None:
            held = self._channels[channel] = _HeldBack()
        return held

    def _decide(self, known: str, before: str, *, ended: bool) -> int | None:
        """Where in `known` the first undecided character is, None where all are decided; `before` stands
        before it and is decided already.
        """
        watch = self._watch
        assert watch is not None  # noqa: S101 - callers have looked
        text, first = before + known, len(before)
        if len(text) >= watch.shortest:
            rule = watch.match(text, first, ended=ended)
            if rule is not None:
                self._end(rule)
        start = None if ended else watch.undecided(text, first)
        return None if start is None else start - first

    def _end(self, rule: str) -> NoReturn:
        self._cut = rule
        self._channels.clear()
        raise CutError(rule)


@dataclass(slots=True)
class _HeldBack:
    """How much came, its undecided end, and the characters before that as their reader sees them."""

    fed: int = 0
    text: str = ""
    before: str = ""


class _Follower:
    """The rules that cut, compiled together; immutable."""

    def __init__(self, matchers: tuple[Matcher, ...]) -> None:
        self._matchers = matchers
        self._openings = _any(one.opening for one in matchers)
        self._gapped_openings = _any(one.gapped_opening for one in matchers)
        self._bare_openings = _any(one.bare_opening for one in matchers)
        """What every undecided end holds once the gaps are out, whatever stands before it."""

        self.first = matchers[0].rule.id
        self.shortest = min(one.shortest for one in matchers)

    def match(self, text: str, first: int, *, ended: bool) -> str | None:
        """The id of a rule that has matched and that nothing which follows can unmatch."""
        plain = text.replace(GAP, "") if GAP in text else None
        size = len(text) - first if plain is None else len(plain)
        for one in self._matchers:
            if size < one.shortest or (plain is not None and one.core.search(plain) is None):
                continue  # the search past gaps is a slow one
            for start, _ in one.matches(text, first):
                if ended or not one.may_grow(text, start):
                    return one.rule.id
        return None

    def undecided(self, text: str, first: int) -> int | None:
        """Where the first beginning of a match starts that reaches to the end of the text."""
        if GAP not in text:
            match = self._openings.search(text, first)
        else:
            plain = text.replace(GAP, "")
            bare = self._bare_openings.search(plain)
            if bare is None:
                return None
            match = self._gapped_openings.search(
                text, max(first, _before_last(text, len(plain) - bare.start()))
            )
        return match.start() if match else None


def _any(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns))


def _before_last(text: str, count: int) -> int:
    """Where the last `count` characters of `text` that are no gap begin."""
    place = len(text)
    while count:
        place -= 1
        count -= text[place] != GAP
    return place


@lru_cache(maxsize=64)
def _watch(cutting: tuple[Rule, ...]) -> _Follower | None:
    return _Follower(tuple(map(matcher, cutting))) if cutting else None
