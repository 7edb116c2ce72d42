"""What may be shown of a stored key: which version of which credential it is, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class KeyState(StrEnum):
    """Only the CURRENT version is leased; no other one takes its place where there is none."""

    CURRENT = "current"
    REPLACED = "replaced"
    QUARANTINED = "quarantined"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class KeyVersion:
    """One version of one credential's key. `created` is in unix seconds; `reason` is a quarantine's."""

    name: str
    version: int
    kind: str
    created: int
    state: KeyState = KeyState.CURRENT
    reason: str = ""
