"""Where two policies differ, counted.

Knows: decisions before and after. Must not know: which is live, or how a report looks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from broker.replay.recorded import Decision, RecordedInput


class Direction(StrEnum):
    """Which way a verdict turned."""

    ALLOW_TO_DENY = "allow_to_deny"
    DENY_TO_ALLOW = "deny_to_allow"

    @property
    def arrow(self) -> str:
        """As people read it.

        >>> Direction.DENY_TO_ALLOW.arrow
        'DENY→ALLOW'
        """
        return self.value.upper().replace("_TO_", "→")


@dataclass(frozen=True, slots=True)
class Flip:
    """One way in which verdicts differ: the rule that ruled before, the rule that rules now, about what."""

    direction: Direction
    point: str
    was: str
    now: str
    subject: str
    operation: str
    model: str


@dataclass(frozen=True, slots=True)
class EvaluationFailure:
    """One way in which the candidate did not answer."""

    point: str
    why: str


@dataclass(slots=True)
class Occurrences:
    """How often, and the first few calls as samples."""

    count: int = 0
    samples: list[str] = field(default_factory=list)


class Comparison:
    """Counts decisions as they are made twice. `compared` is all that both answered; `agreed` those with the
    same verdict, of which `other_rule` came by another rule; `failures` what the candidate did not answer.
    """

    def __init__(self, samples: int) -> None:
        """Keeps at most `samples` call ids of each flip and failure."""
        self._samples = samples
        self.compared = 0
        self.agreed = 0
        self.other_rule = 0
        self.flips: dict[Flip, Occurrences] = {}
        self.failures: dict[EvaluationFailure, Occurrences] = {}

    def compare(self, recorded_input: RecordedInput, before: Decision, after: Decision) -> None:
        """One decision that both made."""
        self.compared += 1
        if before.allow == after.allow:
            self.agreed += 1
            self.other_rule += before.rule != after.rule
            return
        direction = Direction.DENY_TO_ALLOW if after.allow else Direction.ALLOW_TO_DENY
        flip = Flip(
            direction,
            recorded_input.point.value,
            before.rule,
            after.rule,
            recorded_input.subject,
            recorded_input.operation,
            recorded_input.model,
        )
        self._count(self.flips.setdefault(flip, Occurrences()), recorded_input)

    def fail(self, recorded_input: RecordedInput, why: str) -> None:
        """One decision that the candidate did not make."""
        self._count(
            self.failures.setdefault(EvaluationFailure(recorded_input.point.value, why), Occurrences()),
            recorded_input,
        )

    def of(self, direction: Direction) -> list[tuple[Flip, Occurrences]]:
        """The flips that way, the most frequent first."""
        found = [(flip, seen) for flip, seen in self.flips.items() if flip.direction is direction]
        return sorted(found, key=lambda pair: -pair[1].count)

    def total(self, direction: Direction) -> int:
        """How many decisions turned that way."""
        return sum(seen.count for flip, seen in self.flips.items() if flip.direction is direction)

    @property
    def failed(self) -> int:
        """How many decisions the candidate did not make."""
        return sum(seen.count for seen in self.failures.values())

    def _count(self, seen: Occurrences, recorded_input: RecordedInput) -> None:
        seen.count += 1
        if len(seen.samples) < self._samples:
            seen.samples.append(recorded_input.call_id)


def by(name: str, flips: Iterable[tuple[Flip, Occurrences]]) -> dict[str, int]:
    """How many decisions flipped for each value of one field of Flip, the most frequent first."""
    counts: Counter[str] = Counter()
    for flip, seen in flips:
        counts[getattr(flip, name)] += seen.count
    return dict(counts.most_common())
