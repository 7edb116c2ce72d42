"""Resets that are under way: what one was told it can give back is told to no other one, or it would be given
back twice.

Knows limits and their windows. Must not know ledgers, records, or who may reset.
"""

from __future__ import annotations

from collections.abc import Iterable

from broker.model.charge import Taken, Window

CLAIM_SECONDS = 15.0
"""Longer than any ledger waits for its disk: who has not given back by then will not."""


class ResetClaim:
    """Of one limit. It holds until each window that was told has been given back."""

    __slots__ = ("_left", "_until")

    def __init__(self, now: float) -> None:
        self._until = now + CLAIM_SECONDS
        self._left: set[Window] | None = None

    def told(self, settled: Iterable[Taken]) -> None:
        """This can be given back. From any thread, once, before whoever asked knows it."""
        self._left = {each[:4] for each in settled}

    def given_back(self, window: Window) -> None:
        """This was."""
        if self._left is not None:
            self._left.discard(window)

    def holds(self, now: float) -> bool:
        """Whether something of it is still to be given back."""
        return self._left != set() and now < self._until


class ResetClaims:
    """Of all limits. For one thread; times are seconds of one clock that only goes on."""

    def __init__(self) -> None:
        self._claims: dict[str, ResetClaim] = {}

    def claim(self, limit: str, now: float) -> ResetClaim | None:
        """For one reset; None where another one is under way."""
        known = self._claims.get(limit)
        if known is not None and known.holds(now):
            return None
        claim = self._claims[limit] = ResetClaim(now)
        return claim

    def given_back(self, changes: Iterable[Taken], now: float) -> None:
        """This is recorded."""
        for change in changes:
            claim = self._claims.get(change.limit)
            if claim is not None:
                claim.given_back(change[:4])
        self._claims = {limit: claim for limit, claim in self._claims.items() if claim.holds(now)}
