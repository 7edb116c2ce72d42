"""The writer of a log: opens what the first of its ledgers names, and makes durable what they send.

Knows sockets and one log. Must not know where it runs: in a process of its own (`__main__`), so that signing,
hashing and the tree take nothing from an event loop, or in a test's thread.
"""

from __future__ import annotations

import contextlib
import selectors
from collections import defaultdict
from collections.abc import Iterable
from socket import recv_fds, socket
from typing import cast

from broker.adapters.ledger.disk import Disk
from broker.adapters.ledger.ledger_connection import LedgerConnection
from broker.adapters.ledger.limitanswers import LimitAnswers
from broker.adapters.ledger.limitedlog import LimitedLog
from broker.adapters.ledger.limitquery import LimitQuery
from broker.adapters.ledger.messages import MessageType, WriterMessage, lost, revoked
from broker.adapters.ledger.opening import Opening, refused
from broker.adapters.ledger.store import LogStore, not_continued
from broker.adapters.ledger.submission import (
    Submission,
    SubmissionResult,
    TermEnded,
    answered,
    held,
    parse_submitted,
    parse_term,
    size_told,
)
from broker.budget.limits import CapPassed, LimitTaken
from broker.errors import BrokerError
from broker.model.record import RecordType
from broker.tlog.entry import drafted


def write_log(ledger: socket, disk: Disk, joining: socket) -> None:
    """Returns when the ledger sends no more, whether it closed or was killed, or when the disk refused. On
    `joining` come the sockets of further ledgers.
    """
    with ledger, joining:
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
            _write(store, opening, connection, joining)
        finally:
            _close(store)


def _write(store: LogStore, opening: Opening, connection: LedgerConnection, joining: socket) -> None:
    try:
        log = LimitedLog(store, opening)
    except OSError as error:
        connection.say(refused(not_continued(opening.directory, error)))
        return
    connection.say(log.opened().message())
    store.follow()
    service = WriterService(connection, log, joining)
    try:
        service.run()
        store.finish()
    except OSError as error:
        service.tell_all(lost(error))


class WriterService:
    """Serves ledgers until the first of them ends. What arrives while a batch is written is the next batch:
    one sync for all of it.
    """

    def __init__(self, first: LedgerConnection, log: LimitedLog, joining: socket) -> None:
        self._first = first
        self._log = log
        self._joining = joining
        self._ledgers: dict[LedgerConnection, None] = {}
        self._limits = LimitAnswers(log)
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Raises OSError where the disk refuses: then nothing may be written any more."""
        with self._selector:
            self._selector.register(self._joining, selectors.EVENT_READ)
            self._begin(self._first)
            while self._first in self._ledgers:
                self._serve()

    def tell_all(self, message: WriterMessage) -> None:
        """From any thread."""
        for ledger in list(self._ledgers):
            ledger.say(message)

    def _serve(self) -> None:
        """What lies ready."""
        submitted: list[tuple[LedgerConnection, Submission]] = []
        asked: list[tuple[LedgerConnection, WriterMessage]] = []
        for key, _ in self._selector.select():
            if key.fileobj is self._joining:
                self._admit()
                continue
            ledger = cast("LedgerConnection", key.fileobj)
            messages = ledger.receive()
            if messages is None:
                submitted += self._left(ledger)
                continue
            for message in messages:
                if message.says is MessageType.SUBMIT:
                    submitted += [(ledger, each) for each in parse_submitted(message.payload)]
                elif message.says is MessageType.LIMITS:
                    self._limits.answer(ledger, LimitQuery.parse(message.payload), self._ledgers)
                else:
                    asked.append((ledger, message))
        self._record(submitted)
        for ledger, message in asked:  # whoever answers is not held up by the disk
            ledger.say(self._told(message))

    def _told(self, asked: WriterMessage) -> WriterMessage:
        match asked.says:
            case MessageType.JOIN:
                return self._log.opened().message()
            case MessageType.BEGIN_TERM:
                return held(self._log.begin_term(parse_term(asked.payload)))
        return size_told(self._log.size)

    def _begin(self, ledger: LedgerConnection) -> None:
        self._ledgers[ledger] = None
        self._selector.register(ledger, selectors.EVENT_READ)

    def _admit(self) -> None:
        """A further ledger; where none can come any more, nobody is waited for."""
        _, numbers, _, _ = recv_fds(self._joining, 16, 1)
        if not numbers:
            self._selector.unregister(self._joining)
        for number in numbers:
            self._begin(LedgerConnection(socket(fileno=number)))

    def _left(self, ledger: LedgerConnection) -> list[tuple[LedgerConnection, Submission]]:
        """A ledger has ended. What it left under way is over, unless all end with it: a start tells then."""
        self._selector.unregister(ledger)
        del self._ledgers[ledger]
        if ledger is self._first:
            return []
        ledger.close()
        intents = [drafted(intent.draft) for intent in ledger.under_way.values()]
        return [(ledger, self._log.recovered(intent)) for intent in intents]

    def _record(self, submitted: Iterable[tuple[LedgerConnection, Submission]]) -> None:
        """Nobody who is refused waits for the disk."""
        passed: list[tuple[LedgerConnection, int, SubmissionResult]] = []
        ledgers: list[LedgerConnection] = []
        batch: list[tuple[Submission, tuple[LimitTaken, ...]]] = []
        for ledger, submission in submitted:
            taken = self._log.take(submission)
            if isinstance(taken, CapPassed | TermEnded):
                passed.append((ledger, submission.number, taken))
            else:
                ledgers.append(ledger)
                batch.append((submission, taken))
        self._answer(passed)
        if batch:
            numbers = [submission.number for submission, _ in batch]
            placed = self._log.write(batch)
            for ledger, (submission, _) in zip(ledgers, batch, strict=True):
                ledger.placed(submission.entry)
                if submission.entry.kind is RecordType.LIMIT:
                    self._limits.given_back(submission.changes)
                if submission.entry.kind is RecordType.REVOKED:
                    self._tell_revoked(ledger, submission.entry.token_id)
            self._answer(zip(ledgers, numbers, placed, strict=True))

    def _answer(self, answers: Iterable[tuple[LedgerConnection, int, SubmissionResult]]) -> None:
        """Each in one message to its ledger."""
        told: defaultdict[LedgerConnection, list[tuple[int, SubmissionResult]]] = defaultdict(list)
        for ledger, number, answer in answers:
            told[ledger].append((number, answer))
        for ledger, theirs in told.items():
            ledger.say(answered(self._log.size, self._log.term, theirs))

    def _tell_revoked(self, by: LedgerConnection, token_id: str | None) -> None:
        """Before whoever revoked is answered, all others have been told."""
        told = [revoked(each, until) for each, until in self._log.revoked if each == token_id]
        for ledger in self._ledgers:
            if ledger is not by:
                for message in told:
                    ledger.say(message)


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
