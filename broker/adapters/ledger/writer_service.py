"""The writer of a log: opens what the first of its ledgers names, and makes durable what they send.

Knows sockets and one log. Must not know where it runs: in a process of its own (`__main__`), so that signing,
hashing and the tree take nothing from an event loop, or in a test's thread.
"""

from __future__ import annotations

import contextlib
import selectors
import threading
from collections import defaultdict
from collections.abc import Iterable
from socket import socket
from typing import cast

from broker.adapters.ledger.disk import Disk
from broker.adapters.ledger.limitedlog import LimitedLog
from broker.adapters.ledger.messages import MessageType, WriterMessage, WriterMessages, lost
from broker.adapters.ledger.opening import Opening, refused
from broker.adapters.ledger.store import LogStore, not_continued
from broker.adapters.ledger.submission import (
    Submission,
    SubmissionResult,
    answered,
    parse_submitted,
    size_told,
)
from broker.budget.limits import CapPassed
from broker.errors import BrokerError

RECEIVE_BYTES = 256 * 1024


def write_log(ledger: socket, disk: Disk) -> None:
    """Returns when the ledger sends no more, whether it closed or was killed, or when the disk refused."""
    with ledger:
        connection = LedgerConnection(ledger)
        opening = _told(connection)
        if opening is None:
            return
        try:
            store = LogStore(opening, disk, lambda error: connection.say(lost(error)))
        except BrokerError as error:
            connection.say(refused(error))
            return
        try:
            _write(store, opening, connection)
        finally:
            _close(store)


def _write(store: LogStore, opening: Opening, connection: LedgerConnection) -> None:
    try:
        log = LimitedLog(store, opening)
    except OSError as error:
        connection.say(refused(not_continued(opening.directory, error)))
        return
    connection.say(log.opened().message())
    store.follow()
    try:
        WriterService(connection, log).run()
        store.finish()
    except OSError as error:
        connection.say(lost(error))


class LedgerConnection:
    """One ledger, as its writer sees it. A ledger that is gone hears nothing."""

    def __init__(self, ledger: socket) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._messages = WriterMessages()

    def fileno(self) -> int:
        """Of its socket."""
        return self._ledger.fileno()

    def say(self, message: WriterMessage) -> None:
        """From any thread."""
        with self._lock, contextlib.suppress(ConnectionError):
            self._ledger.sendall(message.encode())

    def receive(self) -> list[WriterMessage] | None:
        """What lies ready, once something does; None where it has ended."""
        with contextlib.suppress(ConnectionError):
            if data := self._ledger.recv(RECEIVE_BYTES):
                return list(self._messages.feed(data))
        return None


class WriterService:
    """Serves ledgers until the first of them ends. What arrives while a batch is written is the next batch:
    one sync for all of it.
    """

    def __init__(self, first: LedgerConnection, log: LimitedLog) -> None:
        self._first = first
        self._log = log
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Raises OSError where the disk refuses: then nothing may be written any more."""
        with self._selector:
            self._selector.register(self._first, selectors.EVENT_READ)
            while self._first in self._ledgers():
                self._serve()

    def _serve(self) -> None:
        """What lies ready."""
        submitted: list[tuple[LedgerConnection, Submission]] = []
        pinged: list[LedgerConnection] = []
        for key, _ in self._selector.select():
            ledger = cast("LedgerConnection", key.fileobj)
            for message in self._received(ledger):
                if message.says is MessageType.SUBMIT:
                    submitted += [(ledger, each) for each in parse_submitted(message.payload)]
                else:
                    pinged.append(ledger)
        self._record(submitted)
        for ledger in pinged:  # whoever answers is not held up by the disk
            ledger.say(size_told(self._log.size))

    def _record(self, submitted: Iterable[tuple[LedgerConnection, Submission]]) -> None:
        """Nobody who is refused waits for the disk."""
        refused: list[tuple[LedgerConnection, int, SubmissionResult]] = []
        ledgers: list[LedgerConnection] = []
        batch: list[tuple[Submission, tuple[int, ...]]] = []
        for ledger, submission in submitted:
            taken = self._log.take(submission)
            if isinstance(taken, CapPassed):
                refused.append((ledger, submission.number, taken))
            else:
                ledgers.append(ledger)
                batch.append((submission, taken))
        self._answer(refused)
        if batch:
            numbers = [submission.number for submission, _ in batch]
            self._answer(zip(ledgers, numbers, self._log.write(batch), strict=True))

    def _answer(self, answers: Iterable[tuple[LedgerConnection, int, SubmissionResult]]) -> None:
        """Each in one message to its ledger."""
        told: defaultdict[LedgerConnection, list[tuple[int, SubmissionResult]]] = defaultdict(list)
        for ledger, number, answer in answers:
            told[ledger].append((number, answer))
        for ledger, theirs in told.items():
            ledger.say(answered(self._log.size, theirs))

    def _ledgers(self) -> set[LedgerConnection]:
        return {cast("LedgerConnection", key.fileobj) for key in self._selector.get_map().values()}

    def _received(self, ledger: LedgerConnection) -> list[WriterMessage]:
        messages = ledger.receive()
        if messages is None:
            self._selector.unregister(ledger)
        return messages or []


def _told(connection: LedgerConnection) -> Opening | None:
    """Which log it is to be; None where the ledger ended before it named one."""
    messages: list[WriterMessage] | None = []
    while messages == []:
        messages = connection.receive()
    return Opening.parse(messages[0]) if messages else None


def _close(store: LogStore) -> None:
    """Nobody is told of an error any more: what it leaves is what a crash leaves."""
    with contextlib.suppress(OSError):
        store.close()
