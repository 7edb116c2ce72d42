"""What a writer writes of the log itself before anything else.

Knows: what was found when the log was opened. Must not know: how a record becomes durable.
"""

from __future__ import annotations

from broker.adapters.ledger.opening import Opening
from broker.adapters.ledger.recovery import Recovered, closing_record
from broker.model.record import Record, RecordType

UNREMEMBERED = "The log is continued, and nothing beside its keys tells how long it was before."
UNREMEMBERED_REMEDY = (
    "Expected once, after an upgrade or where the keys' folder was restored without it; otherwise compare "
    "the log with a copy of its checkpoint: broker audit verify --since-checkpoint."
)


def first_records(found: Recovered, opening: Opening, public_key: str) -> list[Record]:
    """`key`, where `public_key` is new or newly certified, `start`, and a `recovered` for each call that the
    last process left without an outcome.
    """
    instance, certified = opening.instance, opening.certifications or None
    alert = UNREMEMBERED if found.unremembered else None
    records = [Record(RecordType.START, call_id=instance, alert=alert)]
    if found.snapshot.public_key != public_key or certified:
        key = Record(RecordType.KEY, call_id=instance, public_key=public_key, certifications=certified)
        records.insert(0, key)
    return records + [closing_record(intent.record) for intent in found.dangling]
