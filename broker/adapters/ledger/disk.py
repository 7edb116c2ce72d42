"""The file-system calls that durability rests on, and files that are either wholly there or not at all.

Knows descriptors, renames and syncs. Must not know logs. `Disk` is the seam: a test replaces one call by
name.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, repeat
from pathlib import Path

from broker.adapters.filelock import try_lock
from broker.errors import BrokerError, Kind

FILE_MODE = 0o640
DIRECTORY_MODE = 0o750
LOCK_SECONDS = 2.0
LOCK_POLL_SECONDS = 0.02
_ZEROS = bytes(64 * 1024)


class Disk:
    """The real calls. Every method may raise OSError; none is retried."""

    def write(self, fd: int, content: bytes) -> None:
        """Writes all of `content`."""
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]

    def pwrite(self, fd: int, content: bytes, at: int) -> None:
        """Writes all of `content` over what stands at byte `at`."""
        view = memoryview(content)
        while view:
            written = os.pwrite(fd, view, at)
            view, at = view[written:], at + written

    def fdatasync(self, fd: int) -> None:
        """Returns when what was written to `fd` survives power loss."""
        os.fdatasync(fd)

    def fsync(self, fd: int) -> None:
        """The same for a new file's metadata, or for a directory's names."""
        os.fsync(fd)

    def replace(self, source: Path, target: Path) -> None:
        """Atomic rename."""
        source.replace(target)

    def unlink(self, path: Path) -> None:
        """Removes a file; one that is gone already is fine."""
        path.unlink(missing_ok=True)


class DurableFiles:
    """Puts whole files below `root`, each complete and synced before its name appears.

    Temporary files live in `root/wal`, so that what is published never holds a half-written name. Used by one
    thread at a time for each `scratch` name.
    """

    __slots__ = ("_disk", "_scratch", "root")

    def __init__(self, root: Path, disk: Disk, scratch: str) -> None:
        self.root = root
        self._disk = disk
        self._scratch = root / "wal" / scratch

    def put(self, files: Iterable[tuple[str, bytes]]) -> None:
        """Writes (path below root, content) each; when it returns, all survive power loss."""
        directories = {self._put(name, [content]) for name, content in files}
        for directory in directories:
            self.sync_directory(directory)

    def put_filled(self, name: str, content: bytes, size: int) -> None:
        """As `put`, one file, with zeros behind the content up to `size` bytes."""
        whole, rest = divmod(max(0, size - len(content)), len(_ZEROS))
        self.sync_directory(self._put(name, chain((content, _ZEROS[:rest]), repeat(_ZEROS, whole))))

    def sync_directory(self, directory: Path) -> None:
        """Makes the names in `directory` durable."""
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._disk.fsync(fd)
        finally:
            os.close(fd)

    def _put(self, name: str, pieces: Iterable[bytes]) -> Path:
        """Which directory has the new name."""
        target = self.root / name
        self._make_directory(target.parent)
        self._write(pieces)
        self._disk.replace(self._scratch, target)
        return target.parent

    def _make_directory(self, directory: Path) -> None:
        if directory.is_dir():
            return
        self._make_directory(directory.parent)
        directory.mkdir(DIRECTORY_MODE)
        self.sync_directory(directory.parent)

    def _write(self, pieces: Iterable[bytes]) -> None:
        fd = os.open(self._scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
        try:
            for piece in pieces:
                self._disk.write(fd, piece)
            self._disk.fsync(fd)
        finally:
            os.close(fd)


@contextmanager
def sole_writer(lock: Path) -> Iterator[None]:
    """Holds the flock of one log directory, for which it waits 2 s: the writer of a broker that was killed
    has still to finish. Raises BrokerError AUDIT_UNAVAILABLE when another process keeps it.
    """
    fd = os.open(lock, os.O_RDWR | os.O_CREAT, FILE_MODE)
    try:
        patience = time.monotonic() + LOCK_SECONDS
        while not try_lock(fd):
            if time.monotonic() > patience:
                raise BrokerError(
                    Kind.AUDIT_UNAVAILABLE,
                    "Another process writes this log.",
                    remedy="Stop it, or give this process a log directory of its own.",
                )
            time.sleep(LOCK_POLL_SECONDS)
        yield
    finally:
        os.close(fd)
