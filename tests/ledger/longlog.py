"""Makes a long log in a moment: the writer's own code, on a disk that syncs nothing.

`python -m tests.ledger.longlog HOME ENTRIES [SEGMENT_BYTES]` makes HOME/log with the keys of HOME/keys.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from broker.adapters.ledger.disk import Disk
from broker.adapters.ledger.keys import LogKeys
from broker.adapters.ledger.opening import Opening
from broker.adapters.ledger.store import LogStore
from broker.adapters.ledger.submission import DraftedEntry
from broker.model.charge import Taken, Unit
from broker.model.record import Record, RecordType
from broker.model.units import SECONDS_PER_DAY
from broker.tlog.entry import draft
from broker.tlog.recordkey import RecordVerifier
from tests.ledger.support import ORIGIN, intent, outcome

_BATCH = 1000
MONTH = 30 * SECONDS_PER_DAY


class _NoSync(Disk):
    def fdatasync(self, fd: int) -> None:
        """Nothing: what is lost is made again."""

    def fsync(self, fd: int) -> None:
        """Nothing."""


def make(home: Path, size: int, keys: LogKeys, memory: Path, origin: str = ORIGIN, users: int = 0) -> None:
    """A closed log of about `size` entries: calls, each with its intent and outcome. They are of so many
    `users`, each with a budget for the month; without any, no call has a limit.
    """
    public = RecordVerifier(keys.record.public_key().public_bytes_raw())
    store = LogStore(Opening(home, memory, origin, keys, "i0"), _NoSync(), lambda _error: None)
    seq = store.recovered.snapshot.base
    records = [Record(RecordType.KEY, call_id="i0", public_key=public.public_key)] if seq == 0 else []
    while seq < size:
        calls = [f"call_{number:032x}" for number in range(seq, seq + _BATCH)]
        for number, call in enumerate(calls, seq // 2):
            limited = _limited(call, number % users) if users else (intent(call), outcome(call))
            records += map(_full, limited)
        now = time.time_ns() // 1000
        batch = [
            DraftedEntry(each.type, each.call_id, draft(each, "i0", now, public.kid)) for each in records
        ]
        store.write(batch)
        seq, records = seq + len(batch), []
    store.finish()
    store.close()


def _full(record: Record) -> Record:
    """As long as a real one."""
    return record._replace(policy_input="x" * 900)


def _limited(call: str, user: int) -> tuple[Record, Record]:
    start = int(time.time()) // MONTH * MONTH
    reserved = (Taken(f"user:{user} spend/month", Unit.MICRO_USD, MONTH, start, 9832),)
    used = outcome(call)._replace(requests_charged=1, tokens_charged=15, cost_micro_usd=6)
    return intent(call)._replace(reserved=reserved), used


if __name__ == "__main__":
    root = Path(sys.argv[1])
    make(root / "log", int(sys.argv[2]), LogKeys.load_or_create(root / "keys"), root / "keys")
