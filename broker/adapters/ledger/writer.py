"""Places entries and makes them durable: a batch, signed, is one write and one fdatasync.

Knows segments and when to begin the next. Must not know trees, who waits, or what an entry says. After the
first I/O error nothing may be written any more: an fsync is never retried (a second one may report success
for pages the kernel has dropped).
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from broker.adapters.ledger.disk import Disk
from broker.adapters.ledger.segments import SEGMENT_BYTES, Segments
from broker.adapters.ledger.submission import DraftedEntry
from broker.adapters.ledger.wal import Snapshot, encode_batch
from broker.model.record import RecordType
from broker.tlog.intents import OpenIntents
from broker.tlog.recordkey import RecordSigner
from broker.tlog.revoked import RevokedTokens


class WalWriter:
    """Appends to the write-ahead log, beginning with a new segment at `snapshot`. Blocking; for one thread.

    `signer` has the record key in force from the first batch on.
    """

    def __init__(
        self,
        segments: Segments,
        disk: Disk,
        snapshot: Snapshot,
        *,
        signer: RecordSigner,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self._segments = segments
        self._disk = disk
        self._signer = signer
        self._intents = OpenIntents(snapshot.open_intents)
        self._revoked = RevokedTokens(snapshot.revoked or ())
        self._segment_bytes = segment_bytes
        self._next = snapshot.base
        self._segment = segments.begin(snapshot)
        self._written = self._segment.begins

    @property
    def next(self) -> int:
        """The seq of the entry that is written next."""
        return self._next

    @property
    def revoked(self) -> tuple[tuple[str, int], ...]:
        """(token id, unix second until which it must be refused) of the tokens that may live on."""
        return self._revoked.items(_now())

    def write(self, batch: Sequence[DraftedEntry]) -> list[bytes]:
        """The signed entries, durable; the seq of each follows the one before. Raises OSError."""
        if self._written >= self._segment_bytes:
            self._begin_segment(self._snapshot(self._next))
        first, signer = self._next, self._signer
        signed = [each.draft.sign(seq, signer) for seq, each in enumerate(batch, first)]
        frame = encode_batch(first, signed)
        self._disk.write(self._segment.fd, frame)
        self._disk.fdatasync(self._segment.fd)
        self._written += len(frame)
        self._next = first + len(batch)
        for seq, each in enumerate(batch, first):
            self._intents.observe(each.kind, each.call_id, seq)
            if each.kind is RecordType.REVOKED:
                self._revoked.observe(each.kind, each.token_id, _now())
        return signed

    def finish(self) -> None:
        """Cuts off the zeros: a log that rests needs none. Raises OSError."""
        os.ftruncate(self._segment.fd, self._written)

    def close(self) -> None:
        """Lets the segment go, wherever it stands."""
        os.close(self._segment.fd)

    def _snapshot(self, base: int) -> Snapshot:
        return Snapshot(base, self._signer.public_key, self._intents.items(), self._revoked.items(_now()))

    def _begin_segment(self, snapshot: Snapshot) -> None:
        full, self._segment = self._segment, self._segments.begin(snapshot)
        os.close(full.fd)
        self._written = self._segment.begins


def _now() -> int:
    return int(time.time())
