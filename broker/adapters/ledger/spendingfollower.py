"""Keeps the file of what is taken of limits true to its log: wholly at a start, then a second behind.

Knows when to look, and that the file may be wrong at any time: then it is made anew from the log. Must not
know what is in it. After the start no call waits for it: it follows on a thread of the writer's process.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import threading
from pathlib import Path

from broker.adapters.ledger import projection
from broker.adapters.ledger.directory import LogDirectory
from broker.adapters.ledger.spending import Spending
from broker.errors import BrokerError, Kind
from broker.model.charge import Taken
from broker.tlog.malformed import MalformedError

INTERVAL_SECONDS = 1.0
AGAIN_SECONDS = 30.0
_REST = 3  # times as long as it worked


def spent_path(folder: Path, origin: str) -> Path:
    """Where it is remembered what was spent: each log that these keys sign has a file of its own."""
    return folder / f"spent-{hashlib.sha256(origin.encode()).hexdigest()[:16]}.sqlite"


class SpendingFollower:
    """Use: made once a checkpoint covers all entries; then `start`, and `close`. `windows` is what is taken,
    as it is made, of the windows that can still count.
    """

    def __init__(self, directory: LogDirectory, path: Path) -> None:
        """The file tells what the log does; where there is none, or another log's, it is made of the whole
        log. Raises MalformedError for a damaged log, BrokerError AUDIT_UNAVAILABLE where no file can be
        made, and OSError.
        """
        self._directory = directory
        self._path = path
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-spending", daemon=True)
        self.recounted = not path.exists()
        try:
            self._spending, self.windows = self._caught_up()
        except (sqlite3.Error, MalformedError):
            self.recounted = True
            self._remove()
            self._spending, self.windows = self._made_anew()
        self.recounted &= self._spending.size > 0

    def start(self) -> None:
        """Follows the log from now on."""
        self._thread.start()

    def close(self) -> None:
        """Ends it; what is not in the file yet is when the log is opened next."""
        self._closing.set()
        if self._thread.ident is None:
            self._spending.close()
        else:
            self._thread.join(INTERVAL_SECONDS)

    def _caught_up(self) -> tuple[Spending, tuple[Taken, ...]]:
        spending = Spending(self._directory, self._path)
        try:
            spending.catch_up(lambda _seconds: True)
            return spending, tuple(spending.windows())
        except BaseException:
            spending.close()
            raise

    def _made_anew(self) -> tuple[Spending, tuple[Taken, ...]]:
        try:
            return self._caught_up()
        except sqlite3.Error as error:
            raise BrokerError(
                Kind.AUDIT_UNAVAILABLE,
                f"What was spent of limits cannot be kept in {self._path}: {error}.",
                remedy="Make room there, and have the folder belong to the broker's user. The file may be "
                "deleted: it is made anew from the log.",
            ) from error

    def _run(self) -> None:
        spending: Spending | None = self._spending
        while not self._closing.is_set():
            try:
                self._follow(spending or Spending(self._directory, self._path))
            except (sqlite3.OperationalError, OSError):
                self._closing.wait(AGAIN_SECONDS)  # a full disk: the file stays true, and grows old
            except (sqlite3.Error, MalformedError):
                self._remove()
                self._closing.wait(AGAIN_SECONDS)
            spending = None

    def _follow(self, spending: Spending) -> None:
        with contextlib.closing(spending):
            while not self._closing.wait(INTERVAL_SECONDS):
                spending.catch_up(lambda seconds: not self._closing.wait(_REST * seconds))
                spending.forget()

    def _remove(self) -> None:
        with contextlib.suppress(OSError):  # read-only: it is said where it is opened
            projection.remove(self._path)
