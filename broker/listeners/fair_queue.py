"""Places that subjects share, and a queue where each subject has its turn.

Knows: whose a place is, and the order of what waits. Must not know: what waits, time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FairShare:
    """`most` places. A subject may hold as many as are free: one alone half of them, two a third each, and
    whoever holds none finds one. (Choudhury and Hahne 1998, "dynamic queue length thresholds".)
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: dict[str, int] = {}
        self.taken = 0
        """Places that somebody holds."""

    def allows(self, subject: str) -> bool:
        """Whether the subject may have one more."""
        return self._held.get(subject, 0) < self._most - self.taken

    def take(self, subject: str) -> bool:
        """Whether the subject may have one more, which is taken now."""
        if not self.allows(subject):
            return False
        self._held[subject] = self._held.get(subject, 0) + 1
        self.taken += 1
        return True

    def give(self, subject: str) -> None:
        """One that was taken is free."""
        held = self._held.pop(subject) - 1
        if held:
            self._held[subject] = held
        self.taken -= 1


class FairQueue(Generic[Item]):
    """What waits, in turns by subject: each gives one item, then it is another's turn (Nagle 1987, RFC 970).
    At most `most` items wait, in places that subjects share.
    """

    def __init__(self, most: int) -> None:
        self._places = FairShare(most)
        self._waiting: dict[str, deque[Item]] = {}

    def __len__(self) -> int:
        return self._places.taken

    def put(self, subject: str, item: Item) -> bool:
        """Whether there was a place for it."""
        if not self._places.take(subject):
            return False
        self._waiting.setdefault(subject, deque()).append(item)
        return True

    @property
    def subjects(self) -> int:
        """How many have something that waits."""
        return len(self._waiting)

    def waiting(self, subject: str) -> int:
        """How much of a subject's waits."""
        return len(self._waiting.get(subject, ()))

    def oldest(self, subject: str) -> Item:
        """What has waited longest of a subject that has something here."""
        return self._waiting[subject][0]

    def drop(self, subject: str) -> Item:
        """Takes `oldest` out."""
        items = self._waiting[subject]
        return self._out(subject, items, items.popleft())

    def take(self, may: Callable[[str], bool], *, newest: bool) -> Item | None:
        """Takes out what has come last, or first, of the subject whose turn it is, of those that may; then it
        is another's. None where nothing waits of those that may.
        """
        subject = next(filter(may, self._waiting), None)
        if subject is None:
            return None
        items = self._waiting[subject] = self._waiting.pop(subject)
        return self._out(subject, items, items.pop() if newest else items.popleft())

    def _out(self, subject: str, items: deque[Item], item: Item) -> Item:
        self._places.give(subject)
        if not items:
            del self._waiting[subject]
        return item
