"""The blocking half of the ledger: one locked directory, recovered, with its two threads.

Knows the order of opening and closing. Must not know the event loop, sequencing, or what an entry says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from broker.adapters.ledger.directory import VKEY, WAL, LogDirectory
from broker.adapters.ledger.disk import DIRECTORY_MODE, Disk, DurableFiles, sole_writer
from broker.adapters.ledger.integrator import Integrator
from broker.adapters.ledger.recovery import Recovered, recover
from broker.adapters.ledger.segments import Segments
from broker.adapters.ledger.writer import Placed, Sealed, WalWriter
from broker.errors import BrokerError, Kind
from broker.tlog.malformed import MalformedError
from broker.tlog.merkle import hash_leaf
from broker.tlog.note import NoteSigner
from broker.tlog.recordkey import RecordSigner
from broker.tlog.tile import WIDTH

CLOSE_SECONDS = 30.0


class LogStore:
    """Holds the directory's lock from construction to `close`. All methods but `submit` and `held` block.

    `on_durable` gets each batch of entries when they are, `on_failure` why no further one can be durable;
    both on a thread of the store.
    """

    def __init__(
        self,
        directory: Path,
        signer: NoteSigner,
        record_signer: RecordSigner,
        *,
        disk: Disk,
        segment_bytes: int,
        on_durable: Callable[[Sequence[Sealed]], None],
        on_failure: Callable[[OSError], None],
    ) -> None:
        """Recovers the log and integrates what was left. `record_signer` signs the entries from now on.

        Raises BrokerError AUDIT_UNAVAILABLE; then nothing was changed that was there.
        """
        self._directory = directory
        self._signer = signer
        self._disk = disk
        self._reader = LogDirectory(directory)
        self._on_durable = on_durable
        segments = Segments(directory, disk, segment_bytes)
        with ExitStack() as resources:
            try:
                self.recovered = self._recover(resources)
                self._integrator = self._begin_tree(self.recovered, segments, on_failure)
                segments.forget_spare()
                self._writer = WalWriter(
                    segments,
                    disk,
                    self.recovered.snapshot,
                    signer=record_signer,
                    on_durable=self._take_durable,
                    on_failure=on_failure,
                    segment_bytes=segment_bytes,
                )
            except (MalformedError, OSError) as error:
                raise _not_continued(directory, error) from error
            self._resources = resources.pop_all()

    def start(self) -> None:
        """Starts the threads."""
        self._writer.start()
        self._integrator.start()

    def submit(self, batch: Sequence[Placed]) -> None:
        """Queues the next entries for the disk."""
        self._writer.submit(batch)

    def held(self, seq: int) -> bytes | None:
        """Durable entry `seq` while no checkpoint covers it."""
        return self._integrator.held(seq)

    def bundle(self, seq: int) -> list[bytes]:
        """The covered entries from `seq` to the end of its bundle. Raises BrokerError AUDIT_UNAVAILABLE when
        the bundle cannot be read.
        """
        try:
            return self._reader.bundle(seq // WIDTH, self._integrator.published)[seq % WIDTH :]
        except (MalformedError, OSError) as error:
            raise BrokerError(
                Kind.AUDIT_UNAVAILABLE,
                "An entry bundle of the log cannot be read.",
                remedy="Run `broker audit verify` on the log directory.",
            ) from error

    def close(self) -> None:
        """Writes and integrates what is queued, ends the threads and lets the directory go.

        Waits at most a minute. A thread that hangs in the disk keeps the lock until the process ends.
        """
        ended = (self._writer.close(CLOSE_SECONDS), self._integrator.close(CLOSE_SECONDS))
        if all(ended):
            self._resources.close()

    def _recover(self, resources: ExitStack) -> Recovered:
        """Nothing is written before everything was read and believed."""
        self._directory.mkdir(DIRECTORY_MODE, parents=True, exist_ok=True)
        resources.enter_context(sole_writer(self._directory / "lock"))
        stored = self._reader.vkey()
        if stored is not None and stored != str(self._signer.key):
            raise MalformedError("log.vkey belongs to another key or origin")
        return recover(self._reader, self._signer.key)

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
            files, self._disk, recovered.frontier, self._signer, segments, on_failure=on_failure
        )
        integrator.add([(entry, hash_leaf(entry)) for entry in recovered.beyond])
        integrator.integrate()
        return integrator

    def _take_durable(self, batch: Sequence[Sealed]) -> None:
        self._integrator.add([(sealed.entry, sealed.leaf) for sealed in batch])
        self._on_durable(batch)


def _not_continued(directory: Path, error: MalformedError | OSError) -> BrokerError:
    what = error.strerror if isinstance(error, OSError) else str(error)
    return BrokerError(
        Kind.AUDIT_UNAVAILABLE,
        f"The log in {directory} cannot be continued: {what}.",
        remedy="Run `broker audit verify` on it and restore it from a backup, its wal directory included; "
        "or begin a new directory under a new origin.",
    )
