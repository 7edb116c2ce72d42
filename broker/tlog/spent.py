"""What is taken of each limit, as a log's records tell it: reserved by an intent, settled by an outcome.

Knows record types, and windows by their beginning and length. Must not know files, caps, or who asks. Every
change is a sum, so the order of records of different calls makes no difference. A call without an outcome
keeps its worst case: upstream may have acted.
"""

from __future__ import annotations

from collections.abc import Iterable

from broker.model.charge import HELD, Taken, Unit, given_back, settled
from broker.model.record import Record, RecordType
from broker.tlog.entry import glance

_FIELDS = ("reserved", "requests_charged", "tokens_charged", "cost_micro_usd", "adjusted")
_TELLING = (b'"reserved":[', b'"requests_charged":', b'"adjusted":[', b'"type":"recovered"')


class OpenReservations:
    """What the calls that are under way have taken: call id → its worst case."""

    __slots__ = ("_open",)

    def __init__(self, items: Iterable[tuple[str, tuple[Taken, ...]]] = ()) -> None:
        self._open = dict(items)

    def items(self) -> tuple[tuple[str, tuple[Taken, ...]], ...]:
        """(call id, what it took) of every one."""
        return tuple(self._open.items())

    def observe(self, record: Record) -> tuple[Taken, ...]:
        """By how much the next record changes what is taken."""
        match record.type:
            case RecordType.INTENT if record.reserved:
                self._open[record.call_id] = record.reserved
                return record.reserved
            case RecordType.OUTCOME:
                reserved = self._open.pop(record.call_id, ())
                return settled(reserved, _used(record)) + (record.adjusted or ())
            case RecordType.RECOVERED:
                return given_back(self._open.pop(record.call_id, ()))
            case RecordType.LIMIT:
                return record.adjusted or ()
        return ()


def tells(data: bytes) -> bool:
    """Whether an entry, or any of a bundle, tells something of limits."""
    return any(mark in data for mark in _TELLING)


def told(entry: bytes) -> Record:
    """What an entry of a log of our own tells of limits. Raises MalformedError for a damaged one."""
    return glance(entry, _FIELDS)


def _used(record: Record) -> dict[Unit, int]:
    charged = {
        Unit.REQUESTS: record.requests_charged,
        Unit.TOKENS: record.tokens_charged,
        Unit.MICRO_USD: record.cost_micro_usd,
    }
    return {unit: n for unit, n in charged.items() if n is not None} | dict.fromkeys(HELD, 0)
