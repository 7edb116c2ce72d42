"""What the simulator remembers between requests: stored objects, deleted models, attempts.

Knows: keys and documents, bounded in number. Must not know: what the documents mean.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

KEPT = 10_000
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Stored:
    """A completion or response as created, and the messages or input items that led to it."""

    document: dict[str, object]
    inputs: list[dict[str, object]]

    def updated(self, **changes: object) -> Stored:
        return replace(self, document={**self.document, **changes})


class Bounded(OrderedDict[str, Item], Generic[Item]):
    """Insertion-ordered; the oldest goes when there are more than KEPT."""

    def __setitem__(self, key: str, value: Item) -> None:
        super().__setitem__(key, value)
        if len(self) > KEPT:
            self.popitem(last=False)


class Store:
    """All that `POST /sim/reset` forgets, save the request_log."""

    def __init__(self) -> None:
        self.chats: Bounded[Stored] = Bounded()
        self.responses: Bounded[Stored] = Bounded()
        self.deleted_models: set[str] = set()
        self._attempts: Counter[str] = Counter()

    def attempt(self, key: str) -> int:
        """How often this was called with `key`, this time included."""
        self._attempts[key] += 1
        return self._attempts[key]

    def clear(self) -> None:
        self.chats.clear()
        self.responses.clear()
        self.deleted_models.clear()
        self._attempts.clear()
