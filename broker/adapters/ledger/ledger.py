"""`ports.Ledger` on files: sequences on the event loop; its writer signs, makes durable and integrates.

Knows the life of a ledger: open, append, fail, close. Must not know what records mean, beyond those a log
writes about itself (`key`, `start`, `recovered`, `close`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import structlog

from broker.adapters.ledger.beginning import UNREMEMBERED, UNREMEMBERED_REMEDY, first_records
from broker.adapters.ledger.channel import Opening
from broker.adapters.ledger.durable import DurableEntries
from broker.adapters.ledger.heartbeat import Heartbeat
from broker.adapters.ledger.keys import LogKeys
from broker.adapters.ledger.link import Writer, WriterLink, WriterProcess
from broker.adapters.ledger.segments import SEGMENT_BYTES
from broker.adapters.ledger.writer import SequencedEntry
from broker.errors import BrokerError, Kind
from broker.model.charge import Taken
from broker.model.record import Receipt, Record, RecordType
from broker.model.units import NS_PER_US
from broker.ports import Clock
from broker.tlog.entry import EntryPlace, place
from broker.tlog.malformed import MalformedError
from broker.tlog.note import NoteSigner
from broker.tlog.recordkey import RecordVerifier
from broker.tlog.search import ALL, Search


class FileLedger:
    """The ledger of one directory. Use: `await open()`, `append` from that event loop, `await close()`.

    Durability lost is lost for good: every append that waits and every later one raises AUDIT_UNAVAILABLE,
    `ready` is False, and `failed` is done; the application should exit and start again.
    """

    def __init__(
        self,
        directory: Path,
        *,
        origin: str,
        keys: LogKeys,
        memory: Path,
        instance: str,
        clock: Clock,
        writer: Writer | None = None,
        segment_bytes: int = SEGMENT_BYTES,
        certifications: tuple[str, ...] = (),
    ) -> None:
        """`origin` names the log in its checkpoints (a schema-less URL); `instance` names this process in
        entries. `memory` is a folder that whoever holds the log's disk cannot change, the keys' own: the
        writer remembers there how far the log went, and refuses a shorter one. `certifications` of keys that
        are used from now on go into a `key` record, before all else. The log is written in a process of its
        own, or by `writer`.

        Raises MalformedError for an origin that cannot be a note key's name.
        """
        self._entries = DurableEntries(directory, lambda: self._durable)
        self._opening = Opening(directory, memory, origin, keys, segment_bytes)
        self._vkey = NoteSigner(origin, keys.checkpoint).key
        self._record_key = RecordVerifier(keys.record.public_key().public_bytes_raw())
        self._instance = instance
        self._clock = clock
        self._writer = writer or WriterProcess()
        self._certifications = certifications
        self._link: WriterLink | None = None
        self._failure: str | None = None
        self._next = 0
        self._durable = 0
        self._heartbeat = Heartbeat(self._ping, self._stalled)
        self._waiting: deque[asyncio.Future[bytes]] = deque()
        self._gathered: list[SequencedEntry] = []

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
        return self._revoked

    @property
    def spent(self) -> tuple[Taken, ...]:
        """What calls had taken of limits before this process began, in windows that can still count; calls
        that were cut off at their worst case. Only after `open`.
        """
        return self._spent

    async def open(self) -> None:
        """Takes the directory, recovers it, and records `key` (when new or newly certified), `start`, and
        `recovered` for each call that the last process left without an outcome.

        Raises BrokerError AUDIT_UNAVAILABLE when another process has the log, when more than a crash damaged
        it, when it is shorter or another than what was acknowledged, or when it belongs to another key.
        """
        self._loop = asyncio.get_running_loop()
        self._failed: asyncio.Future[BrokerError] = self._loop.create_future()
        link = WriterLink(
            self._writer, on_durable=self._acknowledge, on_lost=self._latch, on_heard=self._heartbeat.heard
        )
        log = await link.open(self._opening)
        if log.unremembered:
            structlog.get_logger().warning("alert", alert=UNREMEMBERED, remedy=UNREMEMBERED_REMEDY)
        if log.recounted:
            structlog.get_logger().warning("limits_recounted", entries=log.size, windows=len(log.spent))
        self._next = self._durable = log.size
        self._revoked, self._spent = log.revoked, log.spent
        self._link = link
        self._heartbeat.start()
        try:
            own = self._record_key.public_key
            records = first_records(log, self._instance, own, self._certifications)
            await asyncio.gather(*(self.append(record) for record in records))
        except BrokerError:
            await self.close()
            raise

    async def append(self, record: Record) -> Receipt:
        """See `ports.Ledger.append`. An append that is cancelled is still recorded.

        Raises BrokerError AUDIT_UNAVAILABLE also for a record that no entry can hold; only that one is
        refused.
        """
        link = self._link
        if link is None or self._failure is not None:
            raise self._refusal()
        seq = self._next
        at = EntryPlace(self._instance, seq, self._clock.now_ns() // NS_PER_US)
        try:
            unsigned = place(record, at, self._record_key.kid)
        except MalformedError as error:
            raise BrokerError(
                Kind.AUDIT_UNAVAILABLE,
                f"This call cannot be recorded: {error}.",
                remedy="Send shorter, well-formed names and user identifiers.",
            ) from error
        self._next = seq + 1
        durable: asyncio.Future[bytes] = self._loop.create_future()
        self._waiting.append(durable)
        self._gather(link, SequencedEntry(seq, record.type, record.call_id, unsigned))
        return Receipt(self.origin, seq, await durable)

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

        After a failure it only lets go. Idempotent.
        """
        link = self._link
        if link is None:
            return
        try:
            if self._open:
                await self.append(Record(RecordType.CLOSE, call_id=self._instance))
        finally:
            self._link = None
            self._heartbeat.stop()
            self._hand_over(link)
            await link.close()

    def _gather(self, link: WriterLink, placed: SequencedEntry) -> None:
        """What one turn of the event loop appends goes to the disk together: waking the writer for each
        entry, and syncing each alone, would cost both threads more than all the rest of an append.
        """
        if not self._gathered:
            self._loop.call_soon(self._hand_over, link)
        self._gathered.append(placed)

    def _hand_over(self, link: WriterLink) -> None:
        if self._gathered:
            link.submit(self._gathered)
            self._gathered = []

    def _acknowledge(self, leaves: Sequence[bytes]) -> None:
        """Once for each synced batch. Whoever waits, waits in the order of the entries."""
        self._durable += len(leaves)
        for leaf in leaves:
            if not self._waiting:
                return  # they were refused: the disk hung for too long
            future = self._waiting.popleft()
            if not future.done():  # done: its caller was cancelled
                future.set_result(leaf)

    def _latch(self, reason: str) -> None:
        """Refuses every append that waits and every later one, for good."""
        if self._failure is not None:
            return
        self._failure = reason
        if self._link is not None:
            self._link.give_up()
        while self._waiting:
            future = self._waiting.popleft()
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

    def _stalled(self, seconds: float) -> None:
        self._latch(f"the disk did not answer within {seconds:.0f} s")
