"""`ports.CallLedger` on files: its writer holds limits, places, signs, makes durable and integrates.

Knows the life of a ledger: open, append, fail, close. Must not know what records mean, beyond those a log
writes about itself (`key`, `start`, `recovered`, `close`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import count
from pathlib import Path
from typing import cast

import structlog

from broker.adapters.ledger.access import WriterAccess
from broker.adapters.ledger.beginning import UNREMEMBERED, UNREMEMBERED_REMEDY
from broker.adapters.ledger.durable import DurableEntries
from broker.adapters.ledger.heartbeat import Heartbeat
from broker.adapters.ledger.limitqueries import LimitQueries
from broker.adapters.ledger.link import WriterLink
from broker.adapters.ledger.messages import WriterMessage
from broker.adapters.ledger.opening import OpenedLog
from broker.adapters.ledger.outlasting import outlasting
from broker.adapters.ledger.pings import Pings
from broker.adapters.ledger.submission import DraftedEntry, SequencedEntry, Submission, SubmissionResult
from broker.budget.limits import CapPassed
from broker.budget.window import exceeded, reserved
from broker.errors import BrokerError, Kind
from broker.model.charge import Charge, Reservation, Taken
from broker.model.record import Receipt, Record, RecordType
from broker.model.units import NS_PER_US
from broker.ports import AbandonedReservationError, Clock
from broker.tlog.entry import draft
from broker.tlog.malformed import MalformedError
from broker.tlog.note import NoteKey
from broker.tlog.search import ALL, Search


class FileLedger:
    """The ledger of one directory. Use: `await open()`, `append` from that event loop, `await close()`.

    Durability lost is lost for good: every append that waits and every later one raises AUDIT_UNAVAILABLE,
    `ready` is False, and `failed` is done; the application should exit and start again.
    """

    def __init__(self, directory: Path, access: WriterAccess, clock: Clock) -> None:
        """The log lies in `directory`. What it is called, and who signs it, is known after `open`."""
        self._entries = DurableEntries(directory, self._measured)
        self._access = access
        self._clock = clock
        self._link: WriterLink | None = None
        self._failure: str | None = None
        self.on_revoked: Callable[[str, int], None] = lambda _token_id, _until: None
        """Gets each token that another ledger of this log has had revoked, and the unix second until which to
        refuse it. Only after `open` may it be set: what came before is in `revoked`.
        """
        self._durable = 0
        self._pings = Pings(self._ping)
        self.limits = LimitQueries(self._ask)
        """What is taken of limits: a ports.LimitReader."""
        self._numbers = count()
        self._heartbeat = Heartbeat(self._pings.ping, self._stalled)
        self._waiting: dict[int, asyncio.Future[SubmissionResult]] = {}
        self._gathered: list[Submission] = []

    @property
    def ready(self) -> bool:
        """Whether an append can succeed: False within 3 s, too, where the writer does not answer."""
        return self._open and not self._heartbeat.quiet

    @property
    def _open(self) -> bool:
        return self._link is not None and self._failure is None

    @property
    def failed(self) -> asyncio.Future[BrokerError]:
        """Done, with the error, when durability is lost. Await it beside the servers and exit. Only after
        `open`.
        """
        return self._failed

    @property
    def vkey(self) -> str:
        """The public key that verifies this log's checkpoints, as `log.vkey` holds it."""
        return str(self._vkey)

    @property
    def origin(self) -> str:
        """The log's name in checkpoints and receipts."""
        return self._vkey.name

    @property
    def size(self) -> int:
        """Durable entries, integrated or not."""
        return self._durable

    @property
    def revoked(self) -> tuple[tuple[str, int], ...]:
        """(token id, unix second until which it must be refused) of the tokens that were revoked before this
        process began and may not have expired. Only after `open`.
        """
        return tuple(self._revoked.items())

    async def open(self) -> None:
        """Has the writer take the directory and recover it, or joins one that has: by then `key` (when new or
        newly certified), `start`, and `recovered` for each call that the last process left without an outcome
        are recorded.

        Raises BrokerError AUDIT_UNAVAILABLE when another process has the log, when more than a crash damaged
        it, when it is shorter or another than what was acknowledged, or when it belongs to another key.
        """
        self._loop = asyncio.get_running_loop()
        self._failed: asyncio.Future[BrokerError] = self._loop.create_future()
        link = WriterLink(
            self._access,
            on_answer=self._answer,
            on_size=self._grow,
            on_pong=self._pong,
            on_revoked=self._revoke,
            on_limits=self.limits.answered,
            on_lost=self._latch,
            on_heard=self._heartbeat.heard,
        )
        log = await link.open()
        if self._access.owns_log:
            _tell(log)
        self._log, self._durable = log, log.size
        self._vkey = NoteKey.parse(log.vkey)
        self._revoked = dict(log.revoked)
        self._link = link
        self._heartbeat.start()

    async def append(self, record: Record) -> Receipt:
        """See `ports.Ledger.append`. An append that is cancelled is still recorded.

        Raises BrokerError AUDIT_UNAVAILABLE also for a record that no entry can hold; only that one is
        refused.
        """
        return self._receipt(await self._waiting[self._submit(record)])

    async def reserve(self, intent: Record, charges: Sequence[Charge]) -> Reservation:
        """See `ports.CallLedger`; as `append` for the intent."""
        answer, left = await outlasting(self._waiting[self._submit(intent, charges=charges)])
        now_ns = self._clock.now_ns()
        if isinstance(answer, CapPassed):
            raise exceeded(charges, answer, now_ns)
        reservation = reserved(charges, cast("SequencedEntry", answer).taken, now_ns)
        if left:
            raise AbandonedReservationError(reservation)
        return reservation

    async def settle(self, outcome: Record, changes: Sequence[Taken]) -> Receipt:
        """See `ports.CallLedger`; as `append` for the outcome."""
        return self._receipt(await self._waiting[self._submit(outcome, changes=changes)])

    async def read_entry(self, seq: int) -> bytes:
        """See `DurableEntries.read_entry`."""
        return await self._entries.read_entry(seq)

    async def of_call(self, call_id: str) -> list[tuple[int, bytes]]:
        """See `DurableEntries.of_call`."""
        return await self._entries.of_call(call_id)

    def tail(self, after_seq: int, search: Search = ALL) -> AsyncIterator[tuple[int, bytes]]:
        """See `DurableEntries.tail`."""
        return self._entries.tail(after_seq, search)

    async def checkpoint(self) -> bytes:
        """See `DurableEntries.checkpoint`."""
        return await self._entries.checkpoint()

    async def close(self) -> None:
        """Records `close`, integrates everything, writes the final checkpoint and lets the directory go.
        After a failure, and where another ledger owns the log, it only lets go. Idempotent.
        """
        link = self._link
        if link is None:
            return
        try:
            if self._open and self._access.owns_log:
                await self.append(Record(RecordType.CLOSE, call_id=self._log.instance))
        finally:
            self._link = None
            self.limits.refuse(self._refusal())
            self._heartbeat.stop()
            self._hand_over(link)
            await link.close()

    def _submit(
        self, record: Record, charges: Sequence[Charge] = (), changes: Sequence[Taken] = (), term: int = 0
    ) -> int:
        """What one turn of the event loop submits goes to the disk together: waking the writer for each
        entry, and syncing each alone, would cost both processes more than all the rest of an append. The
        number under which `_waiting` has its answer.
        """
        link = self._link
        if link is None or self._failure is not None:
            raise self._refusal()
        number = next(self._numbers)
        submission = Submission(number, self._drafted(record), charges, changes, term)
        self._waiting[number] = self._loop.create_future()
        if not self._gathered:
            self._loop.call_soon(self._hand_over, link)
        self._gathered.append(submission)
        return number

    def _drafted(self, record: Record) -> DraftedEntry:
        now_us = self._clock.now_ns() // NS_PER_US
        try:
            made = draft(record, self._log.instance, now_us, self._log.kid)
        except MalformedError as error:
            raise BrokerError(
                Kind.AUDIT_UNAVAILABLE,
                f"This call cannot be recorded: {error}.",
                remedy="Send shorter, well-formed names and user identifiers.",
            ) from error
        return DraftedEntry(record.type, record.call_id, made)

    def _receipt(self, answer: SubmissionResult) -> Receipt:
        placed = cast("SequencedEntry", answer)  # it was charged nothing, so it passes no cap
        return Receipt(self.origin, placed.seq, placed.leaf)

    def _hand_over(self, link: WriterLink) -> None:
        if self._gathered:
            link.submit(self._gathered)
            self._gathered = []

    def _revoke(self, token_id: str, until: int) -> None:
        self._revoked[token_id] = until
        self.on_revoked(token_id, until)

    async def _measured(self) -> int:
        """How many entries are durable now, those of other ledgers included: its writer is asked where there
        may be others.
        """
        if self._link is None or self._access.owns_log:
            return self._durable
        return await self._pings.size()

    def _grow(self, size: int) -> None:
        self._durable = size

    def _pong(self, size: int) -> None:
        self._durable = size
        self._pings.answered(size)

    def _answer(self, number: int, answer: SubmissionResult) -> None:
        future = self._waiting.pop(number, None)
        if future is not None and not future.done():  # none: refused, as the disk hung; done: cancelled
            future.set_result(answer)

    def _latch(self, reason: str) -> None:
        """Refuses every append that waits and every later one, for good."""
        if self._failure is not None:
            return
        self._failure = reason
        if self._link is not None:
            self._link.give_up()
        self._pings.refuse(self._refusal())
        self.limits.refuse(self._refusal())
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(self._refusal())
        self._failed.set_result(self._refusal())

    def _refusal(self) -> BrokerError:
        return BrokerError(
            Kind.AUDIT_UNAVAILABLE,
            f"Nothing can be recorded: {self._failure or 'the ledger is not open'}.",
            remedy="Look at the log's disk, then restart the broker: it recovers the log when it opens it.",
        )

    def _ping(self) -> None:
        if self._link is not None:
            self._link.ping()

    def _ask(self, message: WriterMessage) -> None:
        if self._link is None or self._failure is not None:
            raise self._refusal()
        self._link.say(message)

    def _stalled(self, seconds: float) -> None:
        self._latch(f"the disk did not answer within {seconds:.0f} s")


def _tell(log: OpenedLog) -> None:
    """What an operator should know of a log that was opened."""
    if log.unremembered:
        structlog.get_logger().warning("alert", alert=UNREMEMBERED, remedy=UNREMEMBERED_REMEDY)
    if log.recounted:
        structlog.get_logger().warning("limits_recounted", entries=log.size, windows=log.windows)
