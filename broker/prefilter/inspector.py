"""All rules over all texts of a call, in one pass.

Knows: hyperscan, and that it is only asked which rules can match at all; where, the rules' own bounded
expressions say. Must not know: what a finding leads to.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from functools import lru_cache
from itertools import accumulate
from typing import Protocol

import hyperscan

from broker.lanes import Steps, finished
from broker.model.finding import Finding, Severity, Text
from broker.prefilter.folding import SEPARATOR, Folded, fold, squeezed
from broker.prefilter.matching import matcher
from broker.prefilter.rules import Rule, rules

_CONTROLS = rb"[\x01-\x08\x0e-\x1f\x7f]"  # dropped by fold: a text with one is not taken as it stands


MOST_FINDINGS = 131_072
"""In the texts of one call: no model reads texts with more, and each is held, judged and recorded."""


class TooManyFindingsError(Exception):
    """The texts hold more than MOST_FINDINGS matches."""


class Finder(Protocol):
    """Finds matches in finished strings, none of them shorter than `shortest` characters, and none in those
    that are `clear`.
    """

    @property
    def shortest(self) -> int: ...
    def clear(self, value: str) -> bool: ...
    def inspect(self, texts: Sequence[Text]) -> tuple[Finding, ...]: ...


@lru_cache(maxsize=8)
def _database(cores: tuple[bytes, ...]) -> hyperscan.Database:
    """What tells which of these a text may hold, and behind them whether it holds control characters. Never
    changed once it is compiled: inspectors of the same rules share it, each with scratch space of its own.
    """
    flags = hyperscan.HS_FLAG_SINGLEMATCH
    unicode = hyperscan.HS_FLAG_UTF8 | hyperscan.HS_FLAG_UCP
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=[*cores, _CONTROLS],
        ids=list(range(len(cores) + 1)),
        flags=[flags if core.isascii() else flags | unicode for core in cores] + [flags],
    )
    return database


class Inspector:
    """Compiled once; `inspect` as often as needed, in time linear in the texts.

    `rules` are those it looks for, also to be given to a StreamFilter that shall watch for the same;
    `watched` names them where they are not all rules with these topics and phrases.
    Not for concurrent use: hyperscan scratch space is its own. Give another thread a `twin`.
    """

    def __init__(
        self,
        banned_topics: tuple[str, ...] = (),
        injection_phrases: tuple[str, ...] | None = None,
        *,
        watched: tuple[Rule, ...] | None = None,
    ) -> None:
        self.rules = rules(banned_topics, injection_phrases) if watched is None else watched
        self._matchers = tuple(map(matcher, self.rules))
        self.shortest = min((one.shortest for one in self._matchers), default=0)
        """The fewest characters that any rule matches."""

        self._database = _database(tuple(one.rule.core.full.encode() for one in self._matchers))
        self._scratch = hyperscan.Scratch(self._database)

    def twin(self) -> Inspector:
        """The same rules for another thread, without compiling them again."""
        other = copy(self)
        other._scratch = self._scratch.clone()  # noqa: SLF001 - its own class
        return other

    def inspect(self, texts: Sequence[Text]) -> tuple[Finding, ...]:
        """Every match of every rule, in the order of the texts; spans are characters of `Text.value`. Raises
        TooManyFindingsError.
        """
        return finished(self.steps(texts))

    def passes(self, texts: Sequence[Text]) -> bool:
        """Whether `inspect` certainly finds nothing in them; most are told so at once."""
        joined = SEPARATOR.join([text.value for text in texts])
        return joined.isascii() and joined.count(SEPARATOR) < max(len(texts), 1) and not self._hits(joined)

    def clear(self, value: str) -> bool:
        """Whether `inspect` certainly finds nothing in this string; most are told so at once."""
        return value.isascii() and SEPARATOR not in value and not self._hits(value)

    def steps(self, texts: Sequence[Text]) -> Steps[tuple[Finding, ...]]:
        """`inspect`, with a pause wherever other work may go on."""
        joined = SEPARATOR.join([text.value for text in texts])
        if joined.isascii() and joined.count(SEPARATOR) < max(len(texts), 1):
            hits = self._hits(joined)
            if not hits:
                return ()
            if len(self._matchers) not in hits:
                return (yield from self._locate([fold(text.value) for text in texts], texts, hits))
        yield
        folded = [fold(text.value) for text in texts]
        yield
        hits = self._hits(SEPARATOR.join([one.plain for one in folded]))
        return (yield from self._locate(folded, texts, hits)) if hits else ()

    def _hits(self, text: str) -> set[int]:
        hits: set[int] = set()
        # lone surrogates have no UTF-8 form and no rule asks for one
        self._database.scan(
            text.encode("utf-8", "replace"),
            match_event_handler=lambda rule, *_: hits.add(rule),
            scratch=self._scratch,
        )
        return hits

    def _locate(
        self, folded: Sequence[Folded], texts: Sequence[Text], hits: set[int]
    ) -> Steps[tuple[Finding, ...]]:
        joined = SEPARATOR.join([one.text for one in folded])
        starts = [0, *accumulate(len(one.text) + 1 for one in folded)]
        short, origin = squeezed(joined)
        located: list[tuple[int, Finding]] = []
        for number in sorted(hits - {len(self._matchers)}):
            one = self._matchers[number]
            for span_or_pause in one.search(short):
                if span_or_pause is None:
                    yield
                    continue
                if len(located) == MOST_FINDINGS:
                    raise TooManyFindingsError
                start, end = origin(span_or_pause[0]), origin(span_or_pause[1] - 1) + 1
                index = bisect_right(starts, start) - 1
                base = starts[index]
                span = folded[index].span(start - base, end - base)
                located.append((index, _finding(one.rule.id, one.rule.severity, texts[index], span)))
        located.sort(key=lambda item: (item[0], item[1].start, item[1].end))
        return tuple(_distinct(finding for _, finding in located))


class Narrowed:
    """An inspector's findings of those rules of which `wanted` says yes."""

    def __init__(self, inspector: Inspector, wanted: Callable[[str], bool]) -> None:
        self._inspector = inspector
        self._wanted = wanted
        self.shortest = inspector.shortest
        self.clear = inspector.clear

    def inspect(self, texts: Sequence[Text]) -> tuple[Finding, ...]:
        return tuple(finding for finding in self._inspector.inspect(texts) if self._wanted(finding.rule))


def _finding(rule: str, severity: Severity, text: Text, span: tuple[int, int]) -> Finding:
    return Finding(rule, severity, text.path, *text.span(*span), exact=text.exact)


def _distinct(located: Iterable[Finding]) -> Iterable[Finding]:
    """Each once, though a text without its escapes shows it again."""
    return dict.fromkeys(located)
