"""The plain projection of a log: what its records tell is taken of every window, in this process's memory."""

from __future__ import annotations

from collections import Counter

from broker.model.charge import Taken, Window
from broker.model.record import Record
from broker.tlog.spent import OpenReservations


class SpentWindows:
    """What is taken of every window that a log tells of."""

    __slots__ = ("_open", "_taken")

    def __init__(self) -> None:
        self._open = OpenReservations()
        self._taken: Counter[Window] = Counter()

    def observe(self, record: Record) -> None:
        """Takes the next record."""
        for each in self._open.observe(record):
            self._taken[each[:4]] += each.amount

    def items(self, now: int) -> tuple[Taken, ...]:
        """The windows that have not ended at the unix second `now`. The others are forgotten."""
        self._taken = Counter(
            {each: amount for each, amount in self._taken.items() if each[2] + each[3] > now}
        )
        return tuple(Taken(*window, amount) for window, amount in self._taken.items())
