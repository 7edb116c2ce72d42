"""The one thread that makes entries durable: whatever is pending, signed, one write and one fdatasync.

Knows segments and when to begin the next. Must not know the event loop, trees, or what an entry says. It
signs because a signature takes 30 µs in which the event loop can run. The first I/O error ends the thread:
nothing after it was promised, and an fsync is never retried (a second one may report success for pages the
kernel has dropped).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from broker.adapters.ledger.disk import Disk
from broker.adapters.ledger.segments import SEGMENT_BYTES, Segments
from broker.adapters.ledger.wal import Snapshot, encode_batch
from broker.model.record import RecordType
from broker.tlog.entry import Unsigned
from broker.tlog.intents import OpenIntents
from broker.tlog.merkle import hash_leaf
from broker.tlog.recordkey import RecordSigner

MAX_BATCH = 4096


@dataclass(frozen=True, slots=True)
class Placed:
    """A sequenced entry, still to be signed."""

    seq: int
    kind: RecordType
    call_id: str
    unsigned: Unsigned = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A signed entry and its leaf hash."""

    seq: int
    entry: bytes = field(repr=False)
    leaf: bytes = field(repr=False)


class WalWriter:
    """Appends to the write-ahead log from its own thread, beginning with a new segment at `snapshot`.

    `on_durable` gets each batch once it is synced, `on_failure` the error that ended the thread; both are
    called on that thread. `signer` has the record key in force from the first batch on.
    """

    def __init__(
        self,
        segments: Segments,
        disk: Disk,
        snapshot: Snapshot,
        *,
        signer: RecordSigner,
        on_durable: Callable[[Sequence[Sealed]], None],
        on_failure: Callable[[OSError], None],
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self._segments = segments
        self._disk = disk
        self._signer = signer
        self._intents = OpenIntents(snapshot.open_intents)
        self._on_durable = on_durable
        self._on_failure = on_failure
        self._segment_bytes = segment_bytes
        self._queue: SimpleQueue[Sequence[Placed] | None] = SimpleQueue()
        self._segment = segments.begin(snapshot)
        self._written = self._segment.begins
        self._thread = threading.Thread(target=self._run, name="ledger-wal", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def submit(self, batch: Sequence[Placed]) -> None:
        """Queues the next entries; the seq of each must follow the one before. Never blocks."""
        self._queue.put(batch)

    def close(self, timeout: float) -> bool:
        """Writes what is queued, ends the thread and waits at most `timeout` seconds; whether it ended."""
        self._queue.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while batch := self._drain():
                self._write(batch)
            os.ftruncate(self._segment.fd, self._written)  # a log that rests needs no zeros
        except OSError as error:
            self._on_failure(error)
        finally:
            os.close(self._segment.fd)

    def _drain(self) -> list[Placed]:
        """Waits for entries, then takes all that are there; empty at the end."""
        batch: list[Placed] = []
        item = self._queue.get()
        while item is not None:
            batch += item
            if len(batch) >= MAX_BATCH:
                return batch
            try:
                item = self._queue.get_nowait()
            except Empty:
                return batch
        if batch:
            self._queue.put(None)  # the end was behind this batch: meet it again afterwards
        return batch

    def _write(self, batch: list[Placed]) -> None:
        if self._written >= self._segment_bytes:
            self._begin_segment(Snapshot(batch[0].seq, self._signer.public_key, self._intents.items()))
        sealed = [self._sealed(placed) for placed in batch]
        frame = encode_batch(batch[0].seq, [each.entry for each in sealed])
        self._disk.write(self._segment.fd, frame)
        self._disk.fdatasync(self._segment.fd)
        self._written += len(frame)
        for placed in batch:
            self._intents.observe(placed.kind, placed.call_id, placed.seq)
        self._on_durable(sealed)

    def _sealed(self, placed: Placed) -> Sealed:
        entry = placed.unsigned.sign(self._signer)
        return Sealed(placed.seq, entry, hash_leaf(entry))

    def _begin_segment(self, snapshot: Snapshot) -> None:
        full, self._segment = self._segment, self._segments.begin(snapshot)
        os.close(full.fd)
        self._written = self._segment.begins
