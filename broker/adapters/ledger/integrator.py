"""Follows the write-ahead log with tiles and checkpoints, at most a second behind, on its own thread.

Knows the order that makes a crash harmless. Must not know records or the event loop. Tiles depend only on
durable entries, so that whatever a crash leaves half done is done again with the same bytes.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path

from broker.adapters.ledger.directory import CHECKPOINT, LogDirectory, segment_name
from broker.adapters.ledger.disk import Disk, DurableFiles
from broker.adapters.ledger.segments import Segments
from broker.tlog.checkpoint import Checkpoint, sign_checkpoint
from broker.tlog.frontier import Frontier, TileFile
from broker.tlog.note import NoteSigner

INTERVAL_SECONDS = 0.5
_SLICE = 32


class Integrator:
    """Owns the tree. `on_checkpoint` is called after each one is durable, and may raise OSError; `on_failure`
    gets the error that ended the thread. Both on that thread.
    """

    def __init__(
        self,
        files: DurableFiles,
        disk: Disk,
        frontier: Frontier,
        signer: NoteSigner,
        segments: Segments,
        *,
        on_checkpoint: Callable[[], None],
        on_failure: Callable[[OSError], None],
    ) -> None:
        self._files = files
        self._disk = disk
        self._frontier = frontier
        self._signer = signer
        self._segments = segments
        self._on_checkpoint = on_checkpoint
        self._on_failure = on_failure
        self._directory = LogDirectory(files.root)
        self._pending: deque[tuple[bytes, bytes]] = deque()
        self._published = frontier.size
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger-integrator", daemon=True)

    @property
    def published(self) -> int:
        """How many entries the newest checkpoint covers."""
        return self._published

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def add(self, batch: Iterable[tuple[bytes, bytes]]) -> None:
        """Takes (entry, leaf hash) of durable entries, in order. Any thread; never blocks on I/O."""
        with self._lock:
            self._pending.extend(batch)

    def close(self, timeout: float) -> bool:
        """Integrates what is left, ends the thread and waits at most `timeout` seconds; whether it ended."""
        self._closing.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def integrate(self) -> None:
        """Publishes everything added so far. Raises OSError; then nothing may be published any more."""
        with self._lock:
            batch = list(self._pending)
        if not batch:
            return
        # 1  bundles and tiles, durable; no checkpoint calls for them yet
        full = self._grow(batch)
        self._files.put((file.tile.path, file.content) for file in [*full, *self._frontier.partials()])
        # 2  the checkpoint, durable: from here on the log has these entries
        head = Checkpoint(self._signer.key.name, self._frontier.size, self._frontier.root())
        self._files.put([(CHECKPOINT, sign_checkpoint(head, self._signer))])
        with self._lock:
            for _ in batch:
                self._pending.popleft()
            self._published = head.size
        self._on_checkpoint()
        # 3  what the checkpoint made superfluous; a crash before this leaves files that nothing needs
        self._remove_partials(full)
        self._remove_segments()

    def _remove_segments(self) -> None:
        """Removes the write-ahead segments that lie wholly before the checkpoint."""
        bases = self._directory.segment_bases()
        for base, following in pairwise(bases):
            if following <= self._published:
                self._disk.unlink(self._files.root / segment_name(base))

    def _run(self) -> None:
        try:
            while not self._closing.wait(INTERVAL_SECONDS):
                self.integrate()
                self._segments.prepare()
            self.integrate()
        except OSError as error:
            self._on_failure(error)

    def _grow(self, batch: list[tuple[bytes, bytes]]) -> list[TileFile]:
        full: list[TileFile] = []
        for number, (entry, leaf) in enumerate(batch):
            full += self._frontier.append(entry, leaf)
            if number % _SLICE == 0:
                time.sleep(0)  # hands over the interpreter, so that no entry waits for a long batch
        return full

    def _remove_partials(self, full: list[TileFile]) -> None:
        """Partial tiles may go once the full one is there (tlog-tiles, "Partial Tiles")."""
        for file in full:
            directory = Path(f"{self._files.root / file.tile.path}.p")
            if directory.is_dir():
                for name in os.listdir(directory):
                    self._disk.unlink(directory / name)
                directory.rmdir()
