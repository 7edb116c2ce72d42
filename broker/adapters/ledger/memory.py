"""The file in which a log's writer remembers how far its log went: in the keys' folder, not in the log's.

Knows one file, its lock and its syncs. Must not know how a log is read, or what it means when they differ.

What is remembered is written before it is acknowledged, and after the log has it: it is never ahead of a log
that a crash left. It is synced with each checkpoint. Until then it outlives the process, not the machine:
a sync for each batch would cost every call as much as the log itself.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from broker.adapters.filelock import try_lock
from broker.adapters.keyfile import create_private
from broker.adapters.ledger.disk import Disk
from broker.tlog.malformed import MalformedError
from broker.tlog.remembered import Remembered, parse_remembered


def memory_path(folder: Path, origin: str) -> Path:
    """Where the log `origin` is remembered: each log that these keys sign has a file of its own."""
    return folder / f"remembered-{hashlib.sha256(origin.encode()).hexdigest()[:16]}"


def recall(folder: Path, origin: str) -> Remembered | None:
    """What is remembered of the log; None where nothing is. Raises MalformedError for a damaged file, and
    OSError.
    """
    try:
        content = memory_path(folder, origin).read_bytes()
    except FileNotFoundError:
        return None
    return parse_remembered(content, origin)


class LogMemory:
    """Of one log; `remember` belongs to one thread, `sync` to any. Every method may raise OSError."""

    def __init__(self, folder: Path, origin: str, disk: Disk) -> None:
        self._path = memory_path(folder, origin)
        self._disk = disk
        self._fd = -1
        self._last = Remembered(origin)
        self._synced = self._last

    @property
    def last(self) -> Remembered:
        """What was remembered last."""
        return self._last

    def recall(self) -> Remembered | None:
        """What an earlier process remembered: see the function."""
        found = recall(self._path.parent, self._last.origin)
        self._last = found or self._last
        return found

    def open(self, size: int, leaf: bytes) -> None:
        """From now on this process remembers; `size` and `leaf`, of entries that outlive the machine by now,
        are durable when it returns. Raises
        MalformedError where another process does, for another folder of the same log.
        """
        if not self._path.exists():
            _, slot = self._last.slot()
            create_private(self._path, slot * 2)
        self._fd = os.open(self._path, os.O_WRONLY)
        if not try_lock(self._fd):
            raise MalformedError("another process writes a log of this origin with these keys")
        self.remember(size, leaf)
        self.sync()

    def remember(self, size: int, leaf: bytes) -> None:
        """The log's first `size` entries are durable, and `leaf` is the last one's hash."""
        self._write(self._last.then(size, leaf))

    def covered(self) -> None:
        """A checkpoint covers all that was remembered, and no more will come; durable when it returns."""
        self._write(self._last.then(self._last.size, self._last.leaf, covered=True))
        self.sync()

    def sync(self) -> None:
        """What was remembered before survives power loss. Nothing, where nothing was yet."""
        last = self._last
        if last is not self._synced and self._fd >= 0:
            self._disk.fsync(self._fd)
            self._synced = last

    def close(self) -> None:
        """Lets the file go. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, remembered: Remembered) -> None:
        at, slot = remembered.slot()
        self._disk.pwrite(self._fd, slot, at)
        self._last = remembered
