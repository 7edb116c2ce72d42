"""Keeps the file of owners true to the log, within its bounds, and open to an operator.

Knows when to look. Must not know calls. Before the first call is served, whatever the log tells and the file
does not have is replayed into it: all of it where the file is missing, little after a crash. What an operator
wishes is recorded before it is carried out, so that a file made anew has it, too.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import structlog

from broker.adapters.ledger.directory import LogDirectory
from broker.adapters.objects.owners import unusable
from broker.adapters.objects.store import KEEP_SECONDS, ObjectsFile
from broker.errors import BrokerError, Kind
from broker.model.units import NS_PER_SECOND
from broker.ports import Clock, Ledger
from broker.tlog.malformed import MalformedError
from broker.tlog.objects import TELLING, changes, told
from broker.tlog.search import Search

WISH_SECONDS = 1.0
POSITION_SECONDS = 60
PRUNE_SECONDS = 3600
_REPLAYED_AT_ONCE = 1000
_Result = TypeVar("_Result")


class OwnersLog(Ledger, Protocol):
    """A ledger that can be read."""

    @property
    def origin(self) -> str: ...

    @property
    def size(self) -> int: ...

    def tail(self, after_seq: int, search: Search) -> AsyncIterator[tuple[int, bytes]]: ...


@dataclass(frozen=True, slots=True)
class RetentionBounds:
    """For how long owners are remembered, and of how many objects at most."""

    keep_seconds: int = KEEP_SECONDS
    most: int = 5_000_000


class Upkeep:
    """Use: `await open()` before calls are served, then `start`, then `await aclose()` before the log closes.

    `look_again` is called where the file says something else about an object than before.
    """

    def __init__(
        self,
        path: Path,
        log: OwnersLog,
        clock: Clock,
        bounds: RetentionBounds,
        look_again: Callable[[], None],
    ) -> None:
        self._path = path
        self._log = log
        self._clock = clock
        self._bounds = bounds
        self._look_again = look_again
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """The file tells all that the log does, and carries out what was wished meanwhile. Raises BrokerError
        AUDIT_UNAVAILABLE where log or file cannot be read: then no call may be served, and the file is let
        go.
        """
        self._file = await self._in(lambda: ObjectsFile(self._path, self._bounds.keep_seconds))
        try:
            await self._catch_up()
        except BaseException:
            await self._in(self._file.close)
            raise

    def start(self) -> None:
        """Looks for wishes once a second from now on."""
        self._task = asyncio.create_task(self._run())

    async def aclose(self) -> None:
        """Ends it; the next start has little to replay."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._note_position()
        await self._in(self._file.close)

    async def carry_out(self) -> None:
        """Records each wish of an operator, then does it."""
        for wish in await self._in(self._file.wishes):
            call_id = f"objects_{self._clock.random_bytes(16).hex()}"
            await self._log.append(told(wish.change, call_id, wish.asked_by))
            await self._in(partial(self._file.carry_out, wish, self._now))
            self._look_again()

    async def prune(self) -> None:
        """Forgets what OpenAI keeps no longer, and the oldest of what is beyond the bound."""
        forgotten = 0
        while expired := await self._in(lambda: self._file.expire(self._now)):
            forgotten += expired
        excess = await self._in(self._file.count) - self._bounds.most
        if excess > 0:
            structlog.get_logger().warning("object_owners_evicted", many=excess)
        while excess > 0:
            owner, many = await self._in(self._file.most)
            gone = await self._in(partial(self._file.evict, owner, min(excess, many)))
            if not gone:
                break
            excess, forgotten = excess - gone, forgotten + gone
        if forgotten:
            self._look_again()

    async def _catch_up(self) -> None:
        begin, end = await self._in(lambda: self._file.position(self._log.origin)), self._log.size
        begin = begin if begin <= end else 0  # the position is of a longer log: this is another one
        replayed = await self._replay(begin)
        await self._in(lambda: self._file.reached(self._log.origin, end))
        if begin == 0 and replayed:
            structlog.get_logger().warning("object_owners_rebuilt", told=replayed)
        await self.carry_out()
        await self.prune()

    async def _run(self) -> None:
        noted = pruned = self._now
        while True:
            await self._clock.sleep(WISH_SECONDS)
            now = self._now
            try:
                await self.carry_out()
                if now - noted >= POSITION_SECONDS:
                    await self._note_position()
                    noted = now
                if now - pruned >= PRUNE_SECONDS:
                    await self.prune()
                    pruned = now
            except BrokerError as error:  # a full disk, a lost log: calls are refused for it elsewhere
                structlog.get_logger().error("object_owners_stalled", why=error.message)

    async def _replay(self, begin: int) -> int:
        batch = _Batch(self._file)
        async for _, entry in self._log.tail(begin - 1, TELLING):
            if batch.is_full_with(entry):
                await self._in(batch.apply)
        await self._in(batch.apply)
        return batch.applied

    async def _note_position(self) -> None:
        """What is durable in the log is in the file: the owner before the outcome, a wish right behind it."""
        size = self._log.size
        await self._in(lambda: self._file.reached(self._log.origin, size))

    @property
    def _now(self) -> int:
        return self._clock.now_ns() // NS_PER_SECOND

    async def _in(self, run: Callable[[], _Result]) -> _Result:
        try:
            return await asyncio.to_thread(run)
        except (sqlite3.Error, OSError) as error:
            raise unusable(self._path) from error
        except MalformedError as error:
            raise BrokerError(
                Kind.AUDIT_UNAVAILABLE,
                f"What the log tells of stored objects cannot be read: {error}.",
                remedy="Run `broker audit verify` on the log directory.",
            ) from error


def replay(file: ObjectsFile, log: LogDirectory, origin: str | None, now: int) -> int:
    """Reads a whole log into the file, and forgets what OpenAI keeps no longer at the unix second `now`. How
    many records told of an object. Blocking. `origin`: the log's, to go on behind it at the next start.

    Raises sqlite3.Error, OSError, and MalformedError for a damaged log.
    """
    size, batch = 0, _Batch(file)
    for seq, entry in log.entries():
        size = seq + 1
        if TELLING.finds(entry) and batch.is_full_with(entry):
            batch.apply()
    batch.apply()
    if origin is not None:
        file.reached(origin, max(size, file.position(origin)))
    while file.expire(now):
        pass
    return batch.applied


class _Batch:
    """Entries on their way from a log into the file; `applied` is how many arrived."""

    def __init__(self, file: ObjectsFile) -> None:
        self._file = file
        self._held: list[bytes] = []
        self.applied = 0

    def is_full_with(self, entry: bytes) -> bool:
        """Takes the entry; whether it is time to apply what is held."""
        self._held.append(entry)
        return len(self._held) >= _REPLAYED_AT_ONCE

    def apply(self) -> None:
        """Blocking. Raises sqlite3.Error, and MalformedError for a damaged entry."""
        if self._held:
            self._file.apply(changes(self._held))
        self.applied += len(self._held)
        self._held = []
