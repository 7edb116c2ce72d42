"""Who made what OpenAI keeps, for calls: `ports.ObjectOwners` over the file.

Knows threads, and what need not be looked up twice. Must not know what an object is, or who may ask. The log
is the truth: the outcome that made an object names it and its owner, and the file is made of it (`upkeep`).
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

from broker.adapters.objects.store import KEEP_SECONDS, ObjectsFile
from broker.errors import BrokerError, Kind
from broker.model.stored import Context, Gone, Keeping, Made, ObjectChange
from broker.model.units import NS_PER_SECOND
from broker.ports import Clock

KEPT = 65_536
"""How many objects are found without a look at the file: the latest that their owners named."""
_AT_ONCE = 500
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class _Waiting:
    """One change that waits for its place in a transaction."""

    change: ObjectChange
    second: int
    done: asyncio.Future[None]


class SqliteObjectOwners:
    """`ports.ObjectOwners`. Use: `await open()`, then from that event loop, `await close()`.

    One thread writes: changes that come while it syncs share the next transaction. Another one reads.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        keep_seconds: int = KEEP_SECONDS,
        tell: Callable[[], None] = lambda: None,
    ) -> None:
        """`tell` is called where this process has made the file say something else about an object."""
        self._path = path
        self._clock = clock
        self._keep = keep_seconds
        self._tell = tell
        self._writing = ThreadPoolExecutor(1, "objects-write")
        self._reading = ThreadPoolExecutor(1, "objects-read")
        self._waiting: list[_Waiting] = []
        self._storing: asyncio.Task[None] | None = None
        self._own: OrderedDict[str, str] = OrderedDict()
        self._opened: list[tuple[ThreadPoolExecutor, ObjectsFile]] = []

    async def open(self) -> None:
        """Opens the file, making it where it is missing. Raises BrokerError AUDIT_UNAVAILABLE."""
        self._writer = await self._open_in(self._writing)
        self._reader = await self._open_in(self._reading)

    async def close(self) -> None:
        """Stores what waits and lets the file go, as far as it was opened."""
        if self._storing is not None:
            await self._storing
        while self._opened:
            executor, file = self._opened.pop()
            await self._in(executor, file.close)
        self._writing.shutdown()
        self._reading.shutdown()

    async def belong(self, owner: str, ids: Collection[str]) -> Mapping[str, bool]:
        """See ports.ObjectOwners. Only what is `owner`'s own is found without a look at the file."""
        found = {each: True for each in ids if self._own.get(each) == owner}
        rest = [each for each in ids if each not in found]
        for start in range(0, len(rest), _AT_ONCE):
            some = rest[start : start + _AT_ONCE]
            for each, holder in await self._in(self._reading, partial(self._reader.holders, some)):
                found[each] = holder == owner
                if holder == owner:
                    self._note(owner, (each,))
        return found

    async def contexts(self, ids: Collection[str]) -> Collection[Context | None]:
        """See ports.ObjectOwners. Of more than a look finds at once, nobody knows."""
        if len(ids) > _AT_ONCE:
            return (None,)
        return await self._in(self._reading, partial(self._reader.contexts, tuple(ids)))

    async def remember(
        self,
        owner: str,
        ids: Sequence[str],
        parent: str | None,
        keeping: Keeping = Keeping.USUAL,
        context: Context | None = None,
    ) -> None:
        """See ports.ObjectOwners."""
        await self._store(Made(owner, tuple(ids), parent, keeping, context))

    async def measured(self, object_id: str, context: Context) -> None:
        """See ports.ObjectOwners."""
        await self._in(self._writing, partial(self._writer.measured, object_id, context))

    async def forget(self, object_id: str) -> None:
        """See ports.ObjectOwners."""
        await self._store(Gone(object_id))
        self.changed()

    def changed(self) -> None:
        """This process has made the file say something else: others that use it are told, too."""
        self.look_again()
        self._tell()

    def look_again(self) -> None:
        """The file says something else than it did: it is rare, and what goes with an object is not known
        here.
        """
        self._own.clear()

    def _note(self, owner: str, ids: Sequence[str]) -> None:
        for each in ids:
            self._own[each] = owner
            self._own.move_to_end(each)
        while len(self._own) > KEPT:
            self._own.popitem(last=False)

    async def _store(self, change: ObjectChange) -> None:
        second = self._clock.now_ns() // NS_PER_SECOND
        waiting = _Waiting(change, second, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._storing is None:
            self._storing = asyncio.create_task(self._store_all())
        await asyncio.shield(waiting.done)

    async def _store_all(self) -> None:
        """Transaction after transaction, until nothing waits."""
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await self._in(self._writing, partial(self._commit, batch))
            except BrokerError as error:
                for waiting in batch:
                    waiting.done.set_exception(error)
                    waiting.done.exception()  # whoever waited may have left
            else:
                for waiting in batch:
                    waiting.done.set_result(None)
        self._storing = None

    def _commit(self, batch: list[_Waiting]) -> None:
        """Blocking, on the writer's thread; durable when it returns (synchronous=FULL)."""
        self._writer.apply((waiting.change, waiting.second) for waiting in batch)

    async def _open_in(self, executor: ThreadPoolExecutor) -> ObjectsFile:
        file = await self._in(executor, partial(ObjectsFile, self._path, self._keep))
        self._opened.append((executor, file))
        return file

    async def _in(self, executor: ThreadPoolExecutor, run: Callable[[], _Result]) -> _Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(executor, run)
        except (sqlite3.Error, OSError) as error:
            raise unusable(self._path) from error


def unusable(path: Path) -> BrokerError:
    """The file can be neither read nor written."""
    return BrokerError(
        Kind.AUDIT_UNAVAILABLE,
        f"Who made which stored object cannot be read or written in {path.name}.",
        remedy="Look at the disk and the rights of the folder audit.keys, then send it again. A damaged file "
        "you may move away: the next start makes it anew from the log.",
    )
