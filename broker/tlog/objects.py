"""What a log tells of stored objects: whose they became, and which are gone.

Knows records. Must not know files. The file of owners is made of it: replayed in order, and as often as one
likes, the changes lead to the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from broker.model.record import Record, RecordType
from broker.model.stored import Adopted, Context, Gone, Keeping, Made, ObjectChange
from broker.model.units import US_PER_SECOND
from broker.tlog.entry import parse_entry
from broker.tlog.search import Search

TELLING = Search.having("object_")
"""Finds the entries that may tell of an object: they have `object_id` or `object_owner`."""
ADOPTED = "an operator adopted the object"
FORGOTTEN = "an operator had the object forgotten"
_DELETING = frozenset({"chat.delete", "responses.delete"})
_CHAT = "chat"
_SUCCESS = range(200, 300)


def changes(entries: Iterable[bytes]) -> Iterator[tuple[ObjectChange, int]]:
    """What these entries tell, each with the unix second at which it became so. Raises MalformedError."""
    for data in entries:
        if TELLING.finds(data):
            entry = parse_entry(data)
            change = _change(entry.record)
            if change is not None:
                yield change, entry.place.time_us // US_PER_SECOND


def told(change: Adopted | Gone, call_id: str, asked_by: str) -> Record:
    """The record of what an operator wants; `asked_by` is a name of the operating system's."""
    if isinstance(change, Gone):
        return Record(RecordType.CONFIG, call_id, user=asked_by, reason=FORGOTTEN, object_id=change.id)
    return Record(
        RecordType.CONFIG,
        call_id,
        user=asked_by,
        reason=ADOPTED,
        object_id=change.ids[0],
        object_owner=change.owner,
        object_until=change.until or 0,
    )


def _change(record: Record) -> ObjectChange | None:
    object_id, owner = record.object_id, record.object_owner
    if record.type is RecordType.CONFIG and object_id is not None:
        if owner is not None:
            return Adopted(owner, (object_id,), record.object_until or None)
        return Gone(object_id) if record.reason == FORGOTTEN else None
    if record.type is not RecordType.OUTCOME:
        return None
    if owner is not None:
        ids = (*((object_id,) if object_id else ()), *(record.objects or ()))
        return Made(owner, ids, object_id, _keeping(record), _context(record))
    deleted = record.operation in _DELETING and (record.status or 0) in _SUCCESS
    return Gone(object_id) if deleted and object_id is not None else None


def _keeping(record: Record) -> Keeping:
    chat = (record.operation or "").partition(".")[0] == _CHAT
    return Keeping.UNTIL_DELETED if chat or record.object_until == 0 else Keeping.USUAL


def _context(record: Record) -> Context | None:
    if record.tokens_in is None or record.tokens_out is None or record.model_served is None:
        return None
    return Context(record.tokens_in + record.tokens_out, record.model_served)
