"""What is taken of each limit in each window: all of a call's charges or none, whatever else is asked.

Knows: sums and caps. Must not know: clocks, processes, who is charged, or why.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from broker.model.charge import Charge, Taken, Window

FORGIVEN_SECONDS = 60
"""A clock that is set back by less finds its windows."""
_SWEEP_AT = 10_000


class CapPassed(NamedTuple):
    """The first charge that would have passed its cap, by its place, and what is taken of its limit."""

    place: int
    taken: int


class LimitWindows:
    """Exact for whoever asks this object alone. `spent` is what was taken before."""

    def __init__(self, spent: Iterable[Taken] = ()) -> None:
        self._taken: dict[Window, int] = {each[:4]: each.amount for each in spent}
        self._sweep_at = _sweep_at(len(self._taken))

    def reserve(self, charges: Sequence[Charge]) -> tuple[int, ...] | CapPassed:
        """Takes all of them, and tells what is taken of each limit then; or nothing."""
        grown: dict[Window, int] = {}
        after: list[int] = []
        for place, (asked, cap, _) in enumerate(charges):
            window = asked[:4]
            taken = grown[window] if window in grown else self._taken.get(window, 0)
            if taken + asked.amount > cap:
                return CapPassed(place, taken)
            grown[window] = taken + asked.amount
            after.append(taken + asked.amount)
        self._taken.update(grown)
        return tuple(after)

    def change(self, changes: Iterable[Taken]) -> None:
        """Changes what is taken, never below zero. A window that was forgotten stays so."""
        for change in changes:
            window = change[:4]
            if window in self._taken:
                self._taken[window] = max(0, self._taken[window] + change.amount)

    def forget_ended(self, now: int) -> None:
        """Forgets what ended a minute before the unix second `now`, once there are many: so that it costs
        each call little.
        """
        if len(self._taken) > self._sweep_at:
            ended = now - FORGIVEN_SECONDS
            self._taken = {each: taken for each, taken in self._taken.items() if each[2] + each[3] > ended}
            self._sweep_at = _sweep_at(len(self._taken))

    def items(self) -> tuple[Taken, ...]:
        """What is taken of every window that is not forgotten."""
        return tuple(Taken(*window, amount) for window, amount in self._taken.items())


def _sweep_at(live: int) -> int:
    return max(_SWEEP_AT, 2 * live)
