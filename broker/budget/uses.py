"""What was taken of all limits at one moment, as it is looked through.

Knows: sums and caps. Must not know: who looks, or how a limit is charged.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass

from broker.model.charge import LimitUse, Taken, Unit, Window

_Key = tuple[str, Unit, int]


@dataclass(frozen=True, slots=True)
class LimitUses:
    """`taken` of each window at the unix second `now`, and the cap that was named last for those of which one
    is known.
    """

    taken: Mapping[Window, int]
    caps: Mapping[Window, int]
    now: int

    def most_used(self, named: str, most: int) -> tuple[LimitUse, ...]:
        """The limits whose key contains `named`, those first of whose cap the largest part is taken, then
        those whose cap nobody knows; `most` of them. Of one that slides, all that counts is one.
        """
        found: dict[_Key, LimitUse] = {}
        for window, amount in self.taken.items():
            if named in window[0] and not ended(window, self.now):
                key, use = window[:3], LimitUse(Taken(*window, amount), self.caps.get(window))
                found[key] = _together(found[key], use) if key in found else use
        return tuple(heapq.nlargest(most, found.values(), key=_part))

    def of(self, limit: str) -> tuple[Taken, ...]:
        """Each window of the limit of this key that counts."""
        return tuple(
            Taken(*window, amount)
            for window, amount in self.taken.items()
            if window[0] == limit and not ended(window, self.now)
        )


def ended(window: Window, now: int) -> bool:
    """Whether it counts no more at the unix second `now`. What is held has no end."""
    _, _, seconds, start = window
    return 0 < seconds <= now - start


def _together(one: LimitUse, other: LimitUse) -> LimitUse:
    newer, older = (one, other) if one.taken.start >= other.taken.start else (other, one)
    amount = one.taken.amount + other.taken.amount
    return LimitUse(newer.taken._replace(amount=amount), older.cap if newer.cap is None else newer.cap)


def _part(use: LimitUse) -> tuple[bool, float, int]:
    cap, amount = use.cap, use.taken.amount
    return cap is not None, amount / cap if cap else float(amount), amount
