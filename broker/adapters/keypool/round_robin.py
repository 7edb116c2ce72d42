"""Smooth weighted round robin: whose turn it is.

Knows: weights and turns. Must not know: keys, clocks, why a key is not usable.
"""

from __future__ import annotations

from collections.abc import Sequence


class WeightedRoundRobin:
    """Smooth weighted round robin, as nginx does it (commit 52327e0, 2012): heavy members do not get their
    turns in a row, and after any history each gets its share. A member that sat out owes nothing and is owed
    nothing.

    >>> turns = WeightedRoundRobin([3, 1])
    >>> [turns.next([0, 1]) for _ in range(4)]
    [0, 0, 1, 0]
    """

    __slots__ = ("_owed", "_weights")

    def __init__(self, weights: Sequence[int]) -> None:
        self._weights = tuple(weights)
        self._owed = [0] * len(self._weights)

    def next(self, usable: Sequence[int]) -> int:
        """The place whose turn it is, one of `usable`, of which there is at least one."""
        owed, weights = self._owed, self._weights
        total = 0
        chosen = usable[0]
        for place in usable:
            total += weights[place]
            owed[place] += weights[place]
            if owed[place] > owed[chosen]:
                chosen = place
        owed[chosen] -= total
        return chosen
