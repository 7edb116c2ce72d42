"""Who made what OpenAI keeps, in one SQLite file.

Knows SQLite, threads and durability. Must not know what an object is, or who may ask. The log is the truth:
the outcome that made an object names it and its owner, and this file can be made anew from it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from broker.errors import BrokerError, Kind
from broker.ports import Clock

KEPT = 65_536
"""How many objects are found without a look at the file: the latest that their owners named."""
_AT_ONCE = 500
_NS_PER_SECOND = 1_000_000_000
_SCHEMA = """
create table if not exists objects (
  id text primary key, owner text not null, parent text, made integer not null
) without rowid;
create index if not exists objects_parent on objects (parent) where parent is not null;
"""
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class _Change:
    """One change that waits for its place in a transaction."""

    statement: str
    rows: list[tuple[object, ...]]
    done: asyncio.Future[None]


class SqliteObjectOwners:
    """`ports.ObjectOwners`. Use: `await open()`, then from that event loop, `await close()`.

    One thread writes: changes that come while it syncs share the next transaction. Another one reads.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._writing = ThreadPoolExecutor(1, "objects-write")
        self._reading = ThreadPoolExecutor(1, "objects-read")
        self._waiting: list[_Change] = []
        self._storing: asyncio.Task[None] | None = None
        self._own: OrderedDict[str, str] = OrderedDict()

    async def open(self) -> None:
        """Opens the file, making it where it is missing. Raises BrokerError AUDIT_UNAVAILABLE."""
        self._writer = await self._in(self._writing, self._connect)
        self._reader = await self._in(self._reading, self._connect)

    async def close(self) -> None:
        """Stores what waits and lets the file go."""
        if self._storing is not None:
            await self._storing
        await self._in(self._writing, self._writer.close)
        await self._in(self._reading, self._reader.close)
        self._writing.shutdown()
        self._reading.shutdown()

    async def belong(self, owner: str, ids: Collection[str]) -> Mapping[str, bool]:
        """See ports.ObjectOwners. Only what is `owner`'s own is found without a look at the file."""
        found = {each: True for each in ids if self._own.get(each) == owner}
        rest = [each for each in ids if each not in found]
        for start in range(0, len(rest), _AT_ONCE):
            some = rest[start : start + _AT_ONCE]
            for each, holder in await self._in(self._reading, partial(self._holders, some)):
                found[each] = holder == owner
                if holder == owner:
                    self._note(owner, (each,))
        return found

    async def remember(self, owner: str, ids: Sequence[str], parent: str | None) -> None:
        """See ports.ObjectOwners."""
        made = self._clock.now_ns() // _NS_PER_SECOND
        rows: list[tuple[object, ...]] = [
            (each, owner, parent if each != parent else None, made) for each in ids
        ]
        await self._store("insert or ignore into objects values (?, ?, ?, ?)", rows)

    async def forget(self, object_id: str) -> None:
        """See ports.ObjectOwners."""
        await self._store("delete from objects where id = ? or parent = ?", [(object_id, object_id)])
        self._own.clear()  # it is rare, and what goes with the object is not known here

    def _note(self, owner: str, ids: Sequence[str]) -> None:
        for each in ids:
            self._own[each] = owner
            self._own.move_to_end(each)
        while len(self._own) > KEPT:
            self._own.popitem(last=False)

    async def _store(self, statement: str, rows: list[tuple[object, ...]]) -> None:
        change = _Change(statement, rows, asyncio.get_running_loop().create_future())
        self._waiting.append(change)
        if self._storing is None:
            self._storing = asyncio.create_task(self._store_all())
        await asyncio.shield(change.done)

    async def _store_all(self) -> None:
        """Transaction after transaction, until nothing waits."""
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await self._in(self._writing, partial(self._commit, batch))
            except BrokerError as error:
                for change in batch:
                    change.done.set_exception(error)
                    change.done.exception()  # whoever waited may have left
            else:
                for change in batch:
                    change.done.set_result(None)
        self._storing = None

    def _commit(self, batch: list[_Change]) -> None:
        """Blocking, on the writer's thread; durable when it returns (synchronous=FULL)."""
        with self._writer:
            for change in batch:
                self._writer.executemany(change.statement, change.rows)

    def _holders(self, ids: Sequence[str]) -> list[tuple[str, str]]:
        marks = ",".join("?" * len(ids))
        return self._reader.execute(
            f"select id, owner from objects where id in ({marks})",  # noqa: S608 - nothing but question marks
            tuple(ids),
        ).fetchall()

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch(mode=0o600)
        connection = sqlite3.connect(self._path, timeout=5, check_same_thread=False)
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = full")
        connection.executescript(_SCHEMA)
        return connection

    async def _in(self, executor: ThreadPoolExecutor, run: Callable[[], _Result]) -> _Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(executor, run)
        except (sqlite3.Error, OSError) as error:
            raise BrokerError(
                Kind.AUDIT_UNAVAILABLE,
                f"Who made which stored object cannot be read or written in {self._path.name}.",
                remedy="Look at the disk and the rights of the folder audit.keys, then send it again.",
            ) from error
