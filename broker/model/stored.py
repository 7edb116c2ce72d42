"""What OpenAI keeps for a call, as the broker remembers it: whose it is, until when, how much a model reads.

Knows: values. Must not know: where they are kept, or which fields tell of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Context:
    """At most so many `tokens` are read where a call goes on from a response. `counted_for` names the model
    that they hold for, or the vocabulary, where all of it is text.
    """

    tokens: int
    counted_for: str


class Keeping(StrEnum):
    """How long OpenAI keeps an object."""

    USUAL = "usual"
    """Responses and their items: 30 days ("Response objects are saved for 30 days by default")."""
    UNTIL_DELETED = "until_deleted"
    """Stored chats, and what belongs to a conversation ("not subject to the 30 day TTL")."""


@dataclass(frozen=True, slots=True)
class Made:
    """What one call made: `ids`, the response or chat itself first. They go with `parent`."""

    owner: str
    ids: tuple[str, ...]
    parent: str | None = None
    keeping: Keeping = Keeping.USUAL
    context: Context | None = None


@dataclass(frozen=True, slots=True)
class Adopted:
    """An operator says whose these are, until a unix second, None: until it is said otherwise."""

    owner: str
    ids: tuple[str, ...]
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Gone:
    """The object is nobody's any more, nor is what goes with it."""

    id: str


ObjectChange = Made | Adopted | Gone
