"""What is taken of each limit in each window: all of a call's charges or none, whatever else is asked.

Knows: sums and caps. Must not know: clocks, processes, who is charged, or why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from broker.budget.uses import LimitUses, ended
from broker.model.charge import Charge, Taken, Window

FORGIVEN_SECONDS = 60
"""A clock that is set back by less finds its windows."""
_SWEEP_AT = 10_000


class CapPassed(NamedTuple):
    """The first charge that would have passed its cap, by its place, what is taken of its limit, and the unix
    second at which there is room for it, or its window has ended.
    """

    place: int
    taken: int
    free_at: int


class LimitTaken(NamedTuple):
    """So much is taken of a limit now. `warned`: the charge brought it to where that is told."""

    amount: int
    warned: bool = False


class LimitWindows:
    """Exact for whoever asks this object alone. `spent` is what was taken before."""

    def __init__(self, spent: Iterable[Taken] = ()) -> None:
        self._taken: dict[Window, int] = {each[:4]: max(0, each.amount) for each in spent}
        self._caps: dict[Window, int] = {}
        self._warned: set[Window] = set()
        self._sweep_at = _sweep_at(len(self._taken))

    def reserve(self, charges: Sequence[Charge]) -> tuple[LimitTaken, ...] | CapPassed:
        """Takes all of them, and tells what is taken of each limit then; or nothing."""
        grown: dict[Window, int] = {}
        after: list[int] = []
        for place, charge in enumerate(charges):
            window, amount = charge.taken[:4], charge.taken.amount
            now = grown[window] if window in grown else self._taken.get(window, 0)
            taken = now if charge.slices == 1 else now + self._earlier(charge)
            if taken + amount > charge.cap and not charge.observed:
                return CapPassed(place, taken, self._free_at(charge, taken))
            grown[window] = now + amount
            after.append(taken + amount)
        self._taken.update(grown)
        self._caps.update([(charge.taken[:4], charge.cap) for charge in charges])
        return tuple([self._told(charge, taken) for charge, taken in zip(charges, after, strict=True)])

    def change(self, changes: Iterable[Taken]) -> None:
        """Changes what is taken, never below zero. A window that was forgotten stays so; what nobody holds
        any more is forgotten.
        """
        for change in changes:
            window = change[:4]
            if window in self._taken:
                self._taken[window] = max(0, self._taken[window] + change.amount)
                if not (self._taken[window] or change.seconds):
                    self._forget(window)

    def forget_ended(self, now: int) -> None:
        """Forgets what ended a minute before the unix second `now`, once there are many: so that it costs
        each call little.
        """
        if len(self._taken) > self._sweep_at:
            for window in [each for each in self._taken if ended(each, now - FORGIVEN_SECONDS)]:
                self._forget(window)
            self._sweep_at = _sweep_at(len(self._taken))

    def items(self) -> tuple[Taken, ...]:
        """What is taken of every window that is not forgotten."""
        return tuple(Taken(*window, amount) for window, amount in self._taken.items())

    def uses(self, now: int) -> LimitUses:
        """A copy for whoever looks through them, at the unix second `now`: 2 ms for 100,000."""
        return LimitUses(self._taken.copy(), self._caps.copy(), now)

    def taken_of(self, windows: Iterable[Window]) -> tuple[int, ...]:
        """What is taken of each."""
        return tuple([self._taken.get(window, 0) for window in windows])

    def _earlier(self, charge: Charge) -> int:
        """What was taken in the slices before that of the charge, and counts still."""
        return sum([self._taken.get(window, 0) for window in earlier_slices(charge)])

    def _free_at(self, charge: Charge, taken: int) -> int:
        """When enough of what is taken counts no more; where the charge alone is too much, when all of it."""
        _, _, seconds, start, amount = charge.taken
        for window in earlier_slices(charge):
            taken -= self._taken.get(window, 0)
            if taken + amount <= charge.cap:
                return window[3] + seconds
        return start + seconds

    def _told(self, charge: Charge, taken: int) -> LimitTaken:
        """It is told once in a window; of what slides, not again while that counts which was told."""
        if not charge.warn_at or taken < charge.warn_at:
            return LimitTaken(taken)
        window = charge.taken[:4]
        if window in self._warned or any(each in self._warned for each in earlier_slices(charge)):
            return LimitTaken(taken)
        self._warned.add(window)
        return LimitTaken(taken, warned=True)

    def _forget(self, window: Window) -> None:
        del self._taken[window]
        self._caps.pop(window, None)
        self._warned.discard(window)


def earlier_slices(charge: Charge) -> Iterator[Window]:
    """Those before that of the charge which count still, the oldest first."""
    limit, unit, seconds, start, _ = charge.taken
    part = seconds // charge.slices
    return ((limit, unit, seconds, start - back * part) for back in range(charge.slices - 1, 0, -1))


def _sweep_at(live: int) -> int:
    return max(_SWEEP_AT, 2 * live)
