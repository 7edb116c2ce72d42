"""One thing that was looked at, and what was found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """BAD keeps a broker from working as configured; a WARNING does not; UNKNOWN could not be looked at."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Check:
    """`subject` is the part, e.g. tls; `told` a sentence; `remedy` what to do about it."""

    subject: str
    level: Level
    told: str
    remedy: str = ""
