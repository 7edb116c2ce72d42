"""Which intents are still open: every intent is closed by exactly one `outcome` or `recovered`.

Knows record types and call ids; must not know where records come from. Memory is bounded by the calls in
flight.
"""

from __future__ import annotations

from collections.abc import Iterable

from broker.model.record import RecordType

CLOSING = frozenset({RecordType.OUTCOME, RecordType.RECOVERED})


class OpenIntents:
    """The open intents at one point of the log: call id → seq of its intent."""

    __slots__ = ("_open",)

    def __init__(self, items: Iterable[tuple[str, int]] = ()) -> None:
        self._open = dict(items)

    def items(self) -> tuple[tuple[str, int], ...]:
        """(call id, seq) of every open intent, oldest first."""
        return tuple(self._open.items())

    def observe(self, kind: RecordType, call_id: str, seq: int) -> bool:
        """Takes the next record. False when it breaks the rule: it opens a call that is open, or closes one
        that is not (it has no intent, or was closed before).
        """
        if kind is RecordType.INTENT:
            fits = call_id not in self._open
            self._open.setdefault(call_id, seq)
            return fits
        if kind in CLOSING:
            return self._open.pop(call_id, None) is not None
        return True
