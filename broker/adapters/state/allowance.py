"""What one process may let be taken while the store is away, where the operator wants that: a share of what
was left.

Knows sums. Must not know: why the store is away, or for how long. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from broker.budget.limits import LimitTaken
from broker.model.charge import Charge, Unit

_KEPT = 10_000
_Limit = tuple[str, Unit, int]
"""Its name, unit and seconds: a window that begins while the store is away has what the last one had left."""


class _ToldLimit(NamedTuple):
    """So much was taken when the store told last; so much has been let be taken since."""

    taken: int
    since: int


class LocalAllowance:
    """`percent` of what was left of each limit when the store told last; 0: nothing."""

    def __init__(self, percent: int) -> None:
        self._percent = percent
        self._known: dict[_Limit, _ToldLimit] = {}

    def saw(self, charges: Sequence[Charge], taken: Sequence[LimitTaken]) -> None:
        """What the store told of them."""
        if not self._percent:
            return
        for charge, now in zip(charges, taken, strict=True):
            self._known.pop(charge.taken[:3], None)
            self._known[charge.taken[:3]] = _ToldLimit(now.amount, 0)
        while len(self._known) > _KEPT:
            del self._known[next(iter(self._known))]

    def take(self, charges: Sequence[Charge]) -> tuple[LimitTaken, ...] | None:
        """All of them, or None: the store has not told of a limit, or its share is used up."""
        grown: dict[_Limit, _ToldLimit] = {}
        for charge in charges:
            limit, amount = charge.taken[:3], charge.taken.amount
            known = grown.get(limit) or self._known.get(limit)
            if known is None or not self._fits(charge, known):
                return None
            grown[limit] = known._replace(since=known.since + amount)
        if not self._percent:
            return None
        self._known.update(grown)
        return tuple([_told(self._known[charge.taken[:3]]) for charge in charges])

    def _fits(self, charge: Charge, known: _ToldLimit) -> bool:
        share = max(0, charge.cap - known.taken) * self._percent // 100
        return charge.observed or known.since + charge.taken.amount <= share


def _told(known: _ToldLimit) -> LimitTaken:
    return LimitTaken(known.taken + known.since)
