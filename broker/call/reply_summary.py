"""What the records say of one reply: what was found in it, and how much of it was passed on.

Knows: how much a record has room for. Must not know: what a rule looks for, records.
"""

from __future__ import annotations

from broker.errors import BrokerError, Kind
from broker.model.decision import Action
from broker.model.record import RecordedFinding

MAX_FINDINGS = 32
_MAX_LOCATION = 256


class ReplySummary:
    """Of one call; it goes on counting while the reply is passed on."""

    __slots__ = ("_blocked", "_findings", "_size")

    def __init__(self) -> None:
        self._findings: tuple[RecordedFinding, ...] = ()
        self._blocked = False
        self._size = 0

    @property
    def findings(self) -> tuple[RecordedFinding, ...]:
        """What was found, the first of it."""
        return self._findings

    @property
    def blocked(self) -> bool:
        """Whether it held what may not be passed on: its records then repeat no name of upstream's."""
        return self._blocked

    @property
    def size(self) -> int:
        """The bytes that were passed on."""
        return self._size

    def found(self, rule: str, location: str, action: Action) -> None:
        """A rule saw something in the reply: where, and what was done about it."""
        if len(self._findings) < MAX_FINDINGS:
            told = RecordedFinding(rule, location[:_MAX_LOCATION], action.value)
            self._findings = (*self._findings, told)

    def block(self) -> None:
        """The reply held what may not be passed on."""
        self._blocked = True

    def ended_by(self, error: BrokerError) -> None:
        """A stream ends with this error."""
        if error.kind is Kind.CONTENT_BLOCKED:
            self.block()

    def passed(self, size: int) -> None:
        """So many more bytes are passed on."""
        self._size += size
