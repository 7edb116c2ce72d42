"""Rules that name each other in a circle.

Knows: which rules each one names. Must not know: engines, what a circle leads to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from broker.adapters.policyfiles.mentions import Mention, OpenPath, RuleText

Circle = tuple["CircleStep", ...]


@dataclass(frozen=True, slots=True)
class CircleStep:
    """One rule of a circle, and where it names the next one."""

    rule: RuleText
    mention: Mention


def circles(rules: Sequence[RuleText], named: Callable[[RuleText], OpenPath]) -> list[Circle]:
    """Each circle once, with the rule first that stands first; the shortest through each rule. `named` says
    which definitions are one rule.
    """
    graph = _Graph(rules, named)
    found: list[Circle] = []
    told: set[OpenPath] = set()
    for rule in dict.fromkeys(map(named, rules)):
        circle = () if rule in told else graph.way_back(rule)
        told.update(named(step.rule) for step in circle)
        if circle:
            found.append(circle)
    return found


class _Graph:
    """Which rules a rule names. Rules are found by the steps of their paths."""

    def __init__(self, rules: Sequence[RuleText], named: Callable[[RuleText], OpenPath]) -> None:
        self._defined: dict[OpenPath, list[RuleText]] = {}
        self._at: dict[OpenPath, dict[OpenPath, None]] = {}
        self._below: dict[OpenPath, dict[OpenPath, None]] = {}
        for rule in rules:
            path = named(rule)
            self._defined.setdefault(path, []).append(rule)
            known = _known(path)
            self._at.setdefault(known, {})[path] = None
            for length in range(len(known) + 1):
                self._below.setdefault(known[:length], {})[path] = None
        self._named: dict[OpenPath, dict[OpenPath, CircleStep]] = {}

    def way_back(self, rule: OpenPath) -> Circle:
        """The shortest way from a rule to itself; empty where there is none."""
        came: dict[OpenPath, tuple[OpenPath, CircleStep]] = {}
        waiting = deque([rule])
        while waiting and rule not in came:
            here = waiting.popleft()
            for there, step in self._next(here).items():
                if there not in came:
                    came[there] = here, step
                    waiting.append(there)
        return tuple(reversed([*_steps(came, rule)]))

    def _next(self, rule: OpenPath) -> dict[OpenPath, CircleStep]:
        """Each rule that it names, and where first."""
        if rule not in self._named:
            found: dict[OpenPath, CircleStep] = {}
            self._named[rule] = found
            for definition in self._defined[rule]:
                for mention in definition.mentions:
                    for meant in self._meant(mention.path):
                        found.setdefault(meant, CircleStep(definition, mention))
        return self._named[rule]

    def _meant(self, path: OpenPath) -> Iterator[OpenPath]:
        """The rules that are above, at or below a path."""
        known = _known(path)
        above = [self._at.get(known[:length], {}) for length in range(len(known))]
        for rule in chain(*above, self._below.get(known, {})):
            if all(None in pair or pair[0] == pair[1] for pair in zip(path, rule, strict=False)):
                yield rule


def _known(path: OpenPath) -> OpenPath:
    """The path up to the first key that is worked out."""
    return path[: path.index(None)] if None in path else path


def _steps(came: dict[OpenPath, tuple[OpenPath, CircleStep]], rule: OpenPath) -> Iterator[CircleStep]:
    here = rule
    while here in came:
        before, step = came[here]
        yield step
        here = before
        if here == rule:
            return
