"""A ledger in a temporary directory, disks that fail by name, and outside eyes on the result."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import subprocess
import threading
import time
from asyncio import sleep
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from socket import socket

from broker.adapters.ledger.access import StartedWriter, WriterProcess
from broker.adapters.ledger.directory import LogDirectory
from broker.adapters.ledger.disk import Disk
from broker.adapters.ledger.keys import LogKeys
from broker.adapters.ledger.ledger import FileLedger
from broker.adapters.ledger.opening import Opening
from broker.adapters.ledger.wal import BATCH
from broker.adapters.ledger.writer_service import write_log
from broker.model.record import Record, RecordType
from broker.tlog.entry import Entry, parse_entry
from broker.tlog.note import NoteKey
from broker.tlog.report import Report
from broker.tlog.verify import verify

ORIGIN = "broker.example/test-log"
ROOT = Path(__file__).parents[2]


class RealClock:
    """The machine's own time."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    async def sleep(self, seconds: float) -> None:
        await sleep(seconds)

    def random_bytes(self, size: int) -> bytes:
        return secrets.token_bytes(size)


class FaultyDisk(Disk):
    """A disk on which one call, named, fails from some moment on.

    `fail("fdatasync")`; `fail("replace", "checkpoint")` only for that target, `persist=True` after it was
    done all the same: the caller cannot know. `counts` counts the calls.
    """

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.hang = threading.Event()
        self.hang.set()
        self._failing: dict[str, str] = {}
        self._errno = errno.EIO
        self._persist = False

    def fail(self, call: str, target: str = "", *, code: int = errno.EIO, persist: bool = False) -> None:
        self._failing[call] = target
        self._errno = code
        self._persist = persist

    def _enter(self, call: str, target: str = "") -> None:
        self.counts[call] = self.counts.get(call, 0) + 1
        if target.startswith(self._failing.get(call, "\0")):
            raise OSError(self._errno, os.strerror(self._errno))

    def write(self, fd: int, content: bytes) -> None:
        if "write" in self._failing:
            super().write(fd, content[: len(content) // 2])
        self._enter("write")
        super().write(fd, content)

    def pwrite(self, fd: int, content: bytes, at: int) -> None:
        self._enter("pwrite")
        super().pwrite(fd, content, at)

    def fdatasync(self, fd: int) -> None:
        self.hang.wait()
        self._enter("fdatasync")
        super().fdatasync(fd)

    def fsync(self, fd: int) -> None:
        self._enter("fsync")
        super().fsync(fd)

    def replace(self, source: Path, target: Path) -> None:
        if self._persist:
            super().replace(source, target)
        self._enter("replace", target.name)
        if not self._persist:
            super().replace(source, target)


class WriterThread:
    """A writer in a thread of this process: its disk can be made to fail."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def start(self, ledger: socket, joining: socket) -> None:
        sockets = ledger.dup(), self._disk, joining.dup()
        self._thread = threading.Thread(target=write_log, args=sockets, daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def kill(self) -> None:
        """A thread cannot be: it ends with the process."""


def ledger(
    home: Path,
    *,
    disk: Disk | None = None,
    keys: LogKeys | None = None,
    segment_bytes: int = 1 << 23,
    kind: type[FileLedger] = FileLedger,
) -> FileLedger:
    """The ledger of `home`/log with the keys of `home`/keys; by a process, or by a thread on `disk`."""
    return kind(home / "log", writer(home, disk=disk, keys=keys, segment_bytes=segment_bytes), RealClock())


def writer(
    home: Path, *, disk: Disk | None = None, keys: LogKeys | None = None, segment_bytes: int = 1 << 23
) -> StartedWriter:
    """Of that log."""
    keys = keys or LogKeys.load_or_create(home / "keys")
    opening = Opening(home / "log", home / "keys", ORIGIN, keys, "i1", segment_bytes=segment_bytes)
    return StartedWriter(opening, WriterThread(disk) if disk is not None else WriterProcess())


@asynccontextmanager
async def opened(
    home: Path,
    *,
    disk: Disk | None = None,
    segment_bytes: int = 1 << 23,
    kind: type[FileLedger] = FileLedger,
) -> AsyncIterator[FileLedger]:
    """Opened, and closed at the end."""
    log = ledger(home, disk=disk, segment_bytes=segment_bytes, kind=kind)
    await log.open()
    try:
        yield log
    finally:
        await log.close()


def crashed(home: Path, copy: Path) -> Path:
    """What a crash at this moment would leave: the files as they are, without whoever writes them."""
    gone = shutil.ignore_patterns("*-journal")  # of the index of calls, which removes it while this copies
    shutil.copytree(home, copy, ignore=gone)
    return copy


def intent(call_id: str) -> Record:
    return Record(
        RecordType.INTENT, call_id=call_id, user="alice", subject="spiffe://d/sa/a", operation="chat"
    )


def outcome(call_id: str) -> Record:
    return Record(RecordType.OUTCOME, call_id=call_id, user="alice", status=200)


def entries(home: Path) -> list[Entry]:
    """Everything the log in `home` holds, parsed."""
    return [parse_entry(data) for _, data in LogDirectory(home / "log").entries()]


def batches(home: Path) -> int:
    """How many frames the write-ahead log has: each was synced once, as a whole."""
    return sum(path.read_bytes().count(BATCH) for path in (home / "log/wal").glob("0*"))


def report(home: Path) -> Report:
    """What our own verifier says."""
    log = LogDirectory(home / "log")
    return verify(log, NoteKey.parse(log.vkey() or ""))


def fsck(home: Path) -> str:
    """What Tessera's fsck prints of the log; its exit code says nothing."""
    tool = ROOT / ".tools/bin/fsck"
    assert tool.exists(), (
        "Tessera's fsck is missing: run `make servers`"
    )  # not on PATH: there fsck(8) has the name
    log = home / "log"
    command = [
        str(tool),
        f"--storage_url=file://{log}",
        f"--public_key={log}/log.vkey",
        "--ui=false",
        "-N",
        "64",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr
