"""Follows a log with its index of calls, on a thread of the writer's process: no call waits for it.

Knows when to look, and that an index may be wrong at any time. Must not know what is asked of it. Nothing
that happens to an index reaches the log: it is removed and made anew from the bundles.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time

from broker.adapters.ledger import callindex
from broker.adapters.ledger.callindex import CallIndex, Covered
from broker.adapters.ledger.directory import LogDirectory
from broker.tlog.malformed import MalformedError
from broker.tlog.search import call_id_of
from broker.tlog.tile import WIDTH, parse_entries

INTERVAL_SECONDS = 1.0
AGAIN_SECONDS = 30.0
_AT_ONCE = 8  # bundles in a transaction: alone, each costs more than twice as much
_REST = 3  # times as long as it worked: a long log is indexed with a quarter of one core


class Indexer:
    """Use: `start`, then `close`."""

    def __init__(self, directory: LogDirectory) -> None:
        self._directory = directory
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-indexer", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def close(self) -> None:
        """Ends it; what is not indexed yet is when the log is opened next."""
        self._closing.set()
        self._thread.join(INTERVAL_SECONDS)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._follow()
            except (sqlite3.Error, OSError, MalformedError):
                self._begin_anew()

    def _begin_anew(self) -> None:
        with contextlib.suppress(OSError):  # a disk that is full or read-only: who asks looks through the log
            callindex.remove(self._directory.root)
        self._closing.wait(AGAIN_SECONDS)

    def _follow(self) -> None:
        index = CallIndex(self._directory.root)
        try:
            covered = self._checked(index.covered())
            while not self._closing.wait(INTERVAL_SECONDS):
                covered = self._catch_up(index, covered)
        finally:
            index.close()

    def _checked(self, covered: Covered) -> int:
        """How many bundles are indexed. Raises MalformedError where those are of another log."""
        if covered.bundles > self._directory.covered_size() // WIDTH:
            raise MalformedError("an index of a longer log")
        if covered.bundles:
            newest = self._directory.bundle_bytes(covered.bundles - 1, covered.bundles * WIDTH)
            if callindex.anchor_of(newest) != covered.anchor:
                raise MalformedError("an index of another log")
        return covered.bundles

    def _catch_up(self, index: CallIndex, covered: int) -> int:
        full = self._directory.covered_size() // WIDTH
        while covered < full and not self._closing.is_set():
            began = time.monotonic()
            bundles = [
                self._directory.bundle_bytes(number, full * WIDTH)
                for number in range(covered, min(covered + _AT_ONCE, full))
            ]
            call_ids = [map(call_id_of, parse_entries(bundle)) for bundle in bundles]
            index.add(covered, call_ids, callindex.anchor_of(bundles[-1]))
            covered += len(bundles)
            self._closing.wait(_REST * (time.monotonic() - began))
        return covered
