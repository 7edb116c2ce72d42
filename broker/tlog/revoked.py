"""Which revoked tokens must still be remembered, as a log's records tell it.

Knows record types, and the longest life of a token. Must not know files, or who asks.
"""

from __future__ import annotations

from collections.abc import Iterable

from broker.model.record import RecordType
from broker.model.token import MAX_TOKEN_SECONDS

FORGIVEN_SECONDS = 60  # of two clocks' difference


class RevokedTokens:
    """Token id → unix second until which it must be refused: no token lives longer from its revocation on."""

    __slots__ = ("_until",)

    def __init__(self, items: Iterable[tuple[str, int]] = ()) -> None:
        self._until = dict(items)

    def observe(self, kind: RecordType, token_id: str | None, second: int) -> None:
        """Takes the next record, made at this unix second."""
        if kind is RecordType.REVOKED and token_id is not None:
            self._until[token_id] = refused_until(second)

    def items(self, now: int) -> tuple[tuple[str, int], ...]:
        """(token id, until) of those whose tokens may not have expired at the unix second `now`."""
        self._until = {token_id: until for token_id, until in self._until.items() if until > now}
        return tuple(self._until.items())


def refused_until(second: int) -> int:
    """Until when a token is refused that was revoked at this unix second."""
    return second + MAX_TOKEN_SECONDS + FORGIVEN_SECONDS


def oldest_that_counts(now: int) -> int:
    """The unix second before which a revocation is of no more use at `now`."""
    return now - MAX_TOKEN_SECONDS - FORGIVEN_SECONDS
