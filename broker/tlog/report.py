"""What a verification found. Knows faults, remedies and the verdict; must not know how anything was
checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

KEPT_PROBLEMS = 100


class Fault(StrEnum):
    """What can be wrong with a log."""

    CHECKPOINT = "checkpoint"
    ROLLBACK = "rollback"
    FORK = "fork"
    ROOT = "root"
    MISSING = "missing"
    MALFORMED = "malformed"
    TILE = "tile"
    ORDER = "order"
    UNKNOWN_KEY = "unknown_key"
    SIGNATURE = "signature"
    INTENT = "intent"
    EXTRA = "extra"
    UNCERTIFIED = "uncertified"

    @property
    def remedy(self) -> str:
        """What to try."""
        return _REMEDIES[self]


_RESTORE = "Keep this copy as evidence, and compare it with a backup or another copy of the log."
_REMEDIES = {
    Fault.CHECKPOINT: f"Check that this is the log's own vkey, from another source. {_RESTORE}",
    Fault.ROLLBACK: f"The log was longer once: find the newer copy; entries were removed here. {_RESTORE}",
    Fault.FORK: "Two histories were signed with one key: treat it as compromised and keep both checkpoints.",
    Fault.ROOT: f"The entries are not those that were signed. {_RESTORE}",
    Fault.MISSING: f"Copy the log again, whole; if the original lacks it too, it was removed. {_RESTORE}",
    Fault.MALFORMED: f"The bytes were changed after they were written. {_RESTORE}",
    Fault.TILE: f"An entry or tile was changed after it was written. {_RESTORE}",
    Fault.ORDER: f"Entries were removed, doubled or reordered. {_RESTORE}",
    Fault.UNKNOWN_KEY: f"No `key` record introduced the key that signed this entry. {_RESTORE}",
    Fault.SIGNATURE: f"The record is not what was signed. {_RESTORE}",
    Fault.INTENT: "Compare this call's records (`broker audit show --call-id`): one is forged or doubled.",
    Fault.UNCERTIFIED: "Nobody you believe vouches for this. Check that the file given with --certified-by "
    "is the certifier's, with all versions; otherwise the key is an attacker's, or the log is older than the "
    "certification of its keys.",
    Fault.EXTRA: f"No checkpoint covers this file, nor does the write-ahead log explain it. {_RESTORE}",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding: what is wrong, where (a path or `entry N`), in words that quote nothing from the log."""

    fault: Fault
    where: str
    text: str


class Verdict(StrEnum):
    """The whole answer."""

    GOOD = "good"
    BAD = "bad"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True)
class Report:
    """What was verified and what was found.

    `size` and `root` are those of the checkpoint; `uncovered` counts entries after it that the writer holds
    and that were checked except for the checkpoint's signature. `open_intents` are (call id, seq). `problems`
    keeps the first 100 of `problem_count`. `certified_size` is that of the newest checkpoint that the
    certifier signed, 0 where there is none, and None where nobody asked.
    """

    origin: str
    size: int
    root: bytes
    uncovered: int
    open_intents: tuple[tuple[str, int], ...]
    problems: tuple[Problem, ...]
    problem_count: int
    certified_size: int | None = None

    @property
    def verdict(self) -> Verdict:
        """BAD with any problem; else INCOMPLETE with open intents, an uncovered tail, or no certified
        checkpoint where one is asked for; else GOOD.
        """
        if self.problem_count:
            return Verdict.BAD
        missing = self.open_intents or self.uncovered or self.certified_size == 0
        return Verdict.INCOMPLETE if missing else Verdict.GOOD


class Problems:
    """Collects problems; keeps the first 100, counts all."""

    __slots__ = ("_kept", "count")

    def __init__(self) -> None:
        self._kept: list[Problem] = []
        self.count = 0

    def add(self, fault: Fault, where: str, text: str) -> None:
        """One more."""
        self.count += 1
        if len(self._kept) < KEPT_PROBLEMS:
            self._kept.append(Problem(fault, where, text))

    def kept(self) -> tuple[Problem, ...]:
        """The first 100."""
        return tuple(self._kept)
