"""Makes a long log in a moment: the writer's own code, on a disk that syncs nothing.

`python -m tests.ledger.longlog HOME ENTRIES [SEGMENT_BYTES]` makes HOME/log with the keys of HOME/keys.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from broker.adapters.ledger import Disk, LogKeys
from broker.adapters.ledger.channel import Opening
from broker.adapters.ledger.store import LogStore
from broker.adapters.ledger.writer import SequencedEntry
from broker.model.record import Record, RecordType
from broker.tlog.entry import EntryPlace, place
from broker.tlog.recordkey import RecordVerifier
from tests.ledger.support import ORIGIN, intent, outcome

_BATCH = 1000


class _NoSync(Disk):
    def fdatasync(self, fd: int) -> None:
        """Nothing: what is lost is made again."""

    def fsync(self, fd: int) -> None:
        """Nothing."""


def make(home: Path, size: int, keys: LogKeys, memory: Path, origin: str = ORIGIN) -> None:
    """A closed log of about `size` entries: calls, each with its intent and outcome."""
    public = RecordVerifier(keys.record.public_key().public_bytes_raw())
    store = LogStore(Opening(home, memory, origin, keys, 8 << 20), _NoSync(), lambda _error: None)
    seq = store.recovered.snapshot.base
    records = [Record(RecordType.KEY, call_id="i0", public_key=public.public_key)] if seq == 0 else []
    while seq < size:
        calls = [f"call_{number:032x}" for number in range(seq, seq + _BATCH)]
        records += [record for call in calls for record in (_full(intent(call)), _full(outcome(call)))]
        now = time.time_ns() // 1000
        batch = [
            SequencedEntry(
                seq + n, each.type, each.call_id, place(each, EntryPlace("i0", seq + n, now), public.kid)
            )
            for n, each in enumerate(records)
        ]
        store.write(batch)
        seq, records = seq + len(batch), []
    store.finish()
    store.close()


def _full(record: Record) -> Record:
    """As long as a real one."""
    return record._replace(policy_input="x" * 900)


if __name__ == "__main__":
    root = Path(sys.argv[1])
    make(root / "log", int(sys.argv[2]), LogKeys.load_or_create(root / "keys"), root / "keys")
