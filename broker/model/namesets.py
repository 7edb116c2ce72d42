"""Sets of names, exact ones and patterns, and which of them hold a name: as quickly for many as for few.

Knows: how to try few patterns of many. Must not know: what is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from broker.model.wildcard import matches

_GRAM = 3  # characters
_NAMES_KEPT = 1024


@dataclass(frozen=True, slots=True)
class NameSet:
    """What a set holds: these names, and those that fit one of its patterns."""

    exact: Iterable[str]
    patterns: Iterable[str]


class NameSets:
    """Sets by their own names, made ready once. Of a name only those patterns are tried of which it has the
    three characters that fewest of them have: next to none, however many there are.
    """

    def __init__(self, sets: Mapping[str, NameSet]) -> None:
        self._exact = _sets_by({own: each.exact for own, each in sets.items()})
        self._patterns = _sets_by({own: each.patterns for own, each in sets.items()})
        grams = {pattern: frozenset(_grams_of(pattern)) for pattern in self._patterns}
        common = Counter(gram for each in grams.values() for gram in each)
        self._by_gram: dict[str, list[str]] = {}
        for pattern, each in grams.items():
            rarest = min(each, key=lambda gram: (common[gram], -len(gram), gram))
            self._by_gram.setdefault(rarest, []).append(pattern)
        self.holding = lru_cache(maxsize=_NAMES_KEPT)(self._holding)
        """The sets that hold a name, in order."""

    def _holding(self, name: str) -> tuple[str, ...]:
        """
        >>> sets = {"mini": NameSet([], ["*-mini"]), "any": NameSet([], ["*"]), "o": NameSet(["o1"], [])}
        >>> NameSets(sets).holding("gpt-4o-mini"), NameSets(sets).holding("o1")
        (('any', 'mini'), ('any', 'o'))
        """
        grams = {name[start : start + size] for size in range(1, _GRAM + 1) for start in range(len(name))}
        found = set(self._exact.get(name, ()))
        for gram in (grams | {""}) & self._by_gram.keys():
            fitting = (pattern for pattern in self._by_gram[gram] if matches(pattern, name))
            found.update(own for pattern in fitting for own in self._patterns[pattern])
        return tuple(sorted(found))


def _sets_by(named: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Each name or pattern, and the sets that have it."""
    found: dict[str, list[str]] = {}
    for own, each in named.items():
        for name in each:
            found.setdefault(name, []).append(own)
    return found


def _grams_of(pattern: str) -> Iterator[str]:
    """Runs of characters that every name has that fits; the empty one where there are none."""
    for part in pattern.split("*"):
        size = min(_GRAM, len(part))
        yield from (part[start : start + size] for start in range(len(part) - size + 1))
