"""One locked log directory, recovered, and what writes to it: entries at once, their tree on its own thread.

Knows the order of opening and closing. Must not know who sends entries, sequencing, or what an entry says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from broker.adapters.ledger.directory import VKEY, WAL, LogDirectory
from broker.adapters.ledger.disk import DIRECTORY_MODE, Disk, DurableFiles, sole_writer
from broker.adapters.ledger.indexer import Indexer
from broker.adapters.ledger.integrator import Integrator
from broker.adapters.ledger.memory import LogMemory
from broker.adapters.ledger.opening import Opening
from broker.adapters.ledger.recovery import Recovered, recover
from broker.adapters.ledger.segments import Segments
from broker.adapters.ledger.spendingfollower import SpendingFollower, spent_path
from broker.adapters.ledger.submission import DraftedEntry
from broker.adapters.ledger.writer import WalWriter
from broker.errors import BrokerError, Kind
from broker.model.charge import Taken
from broker.tlog.malformed import MalformedError
from broker.tlog.merkle import hash_leaf
from broker.tlog.note import NoteSigner
from broker.tlog.recordkey import RecordSigner

CLOSE_SECONDS = 30.0


class LogStore:
    """Holds the directory's lock from construction to `close`. Every method blocks; all are for one thread.

    `on_failure` gets why the tree can no longer follow, on the thread that makes it.
    """

    def __init__(self, opening: Opening, disk: Disk, on_failure: Callable[[OSError], None]) -> None:
        """Recovers the log and integrates what was left.

        Raises BrokerError AUDIT_UNAVAILABLE; then nothing was changed that was there.
        """
        self._directory = opening.directory
        self._disk = disk
        self._signer = NoteSigner(opening.origin, opening.keys.checkpoint)
        self._memory = LogMemory(opening.memory, opening.origin, disk)
        segments = Segments(self._directory, disk, opening.segment_bytes)
        with ExitStack() as resources:
            try:
                self.recovered = self._recover(resources)
                self._integrator = self._begin_tree(self.recovered, segments, on_failure)
                segments.forget_spare()
                resources.callback(self._memory.close)
                self._memory.open(self.recovered.snapshot.base, self.recovered.last_leaf)
                self._spending = SpendingFollower(
                    LogDirectory(self._directory), spent_path(opening.memory, opening.origin)
                )
                resources.callback(self._spending.close)
                self.recounted = self._spending.recounted
                self.signer = RecordSigner(opening.keys.record)
                self._writer = WalWriter(
                    segments,
                    disk,
                    self.recovered.snapshot,
                    signer=self.signer,
                    segment_bytes=opening.segment_bytes,
                )
            except (MalformedError, OSError) as error:
                raise not_continued(self._directory, error) from error
            resources.callback(self._writer.close)
            self._resources = resources.pop_all()
        self._integrator.start()
        self._indexer = Indexer(LogDirectory(self._directory))
        self._indexer.start()

    @property
    def spent(self) -> tuple[Taken, ...]:
        """What the log's calls had taken of limits when it was opened, in windows that can still count."""
        return self._spending.windows

    def follow(self) -> None:
        """From now on it is kept up with the log what calls take."""
        self._spending.start()

    @property
    def vkey(self) -> str:
        """What verifies its checkpoints."""
        return str(self._signer.key)

    @property
    def revoked(self) -> tuple[tuple[str, int], ...]:
        """(token id, unix second until which it must be refused) of the tokens that were revoked and may not
        have expired.
        """
        return self._writer.revoked

    @property
    def size(self) -> int:
        """How many entries are durable."""
        return self._writer.next

    def write(self, batch: Sequence[DraftedEntry]) -> list[bytes]:
        """Makes the next entries durable; their leaf hashes. Raises OSError: then only `close` is left."""
        signed = self._writer.write(batch)
        leaves = [hash_leaf(entry) for entry in signed]
        self._memory.remember(self._writer.next, leaves[-1])
        self._integrator.add(zip(signed, leaves, strict=True))
        return leaves

    def finish(self) -> None:
        """Nothing more will be written. Raises OSError."""
        self._writer.finish()

    def close(self) -> None:
        """Integrates what is left, remembers that, and lets the directory go. Raises OSError.

        Waits at most half a minute. A thread that hangs in the disk keeps the lock until the process ends.
        """
        self._indexer.close()
        if not self._integrator.close(CLOSE_SECONDS):
            return
        with self._resources:
            if self._integrator.published == self._memory.last.size:
                self._memory.covered()

    def _recover(self, resources: ExitStack) -> Recovered:
        """Nothing is written before everything was read and believed."""
        self._directory.mkdir(DIRECTORY_MODE, parents=True, exist_ok=True)
        resources.enter_context(sole_writer(self._directory / "lock"))
        reader = LogDirectory(self._directory)
        stored = reader.vkey()
        if stored is not None and stored != str(self._signer.key):
            raise MalformedError("log.vkey belongs to another key or origin")
        return recover(reader, self._signer.key, self._memory.recall(), int(time.time()))

    def _begin_tree(
        self, recovered: Recovered, segments: Segments, on_failure: Callable[[OSError], None]
    ) -> Integrator:
        """Integrates what the last process could not. The caller then begins a new segment: no page of the
        old write-ahead log, which may never have reached the disk, is relied on afterwards.
        """
        (self._directory / WAL).mkdir(DIRECTORY_MODE, exist_ok=True)
        files = DurableFiles(self._directory, self._disk, "tmp-tree")
        files.put([(VKEY, f"{self._signer.key}\n".encode())])
        integrator = Integrator(
            files,
            self._disk,
            recovered.frontier,
            self._signer,
            segments,
            on_checkpoint=self._memory.sync,
            on_failure=on_failure,
        )
        integrator.add([(entry, hash_leaf(entry)) for entry in recovered.beyond])
        integrator.integrate()
        return integrator


def not_continued(directory: Path, error: MalformedError | OSError) -> BrokerError:
    """Why a log is not opened, and what to do."""
    what = error.strerror if isinstance(error, OSError) else str(error)
    return BrokerError(
        Kind.AUDIT_UNAVAILABLE,
        f"The log in {directory} cannot be continued: {what}.",
        remedy="Run `broker audit verify` on it and restore the newest copy, its wal directory included. "
        "Where there is none, keep it as evidence and begin a new log: another audit.directory and "
        "audit.origin.",
    )
