"""The durable entries of a log, for whoever asks: off the event loop.

Knows the files of the log, and how far they are durable. Must not know how entries come there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from broker.adapters.ledger.directory import LogDirectory
from broker.adapters.ledger.reading import LiveLog, Page
from broker.errors import BrokerError, Kind
from broker.tlog.malformed import MalformedError
from broker.tlog.search import ALL, Search

SCANS = 2
T = TypeVar("T")


class DurableEntries:
    """`size` tells how many entries are durable now."""

    def __init__(self, directory: Path, size: Callable[[], Awaitable[int]]) -> None:
        self._directory = LogDirectory(directory)
        self._live = LiveLog(directory)
        self._size = size
        self._scanning = asyncio.Semaphore(SCANS)

    async def read_entry(self, seq: int) -> bytes:
        """The durable entry `seq`, integrated or not. Raises BrokerError NOT_FOUND, and AUDIT_UNAVAILABLE
        when the log cannot be read.
        """
        if not 0 <= seq < await self._size():
            raise BrokerError(Kind.NOT_FOUND, "The log has no such entry.", remedy="Ask for a smaller seq.")
        return await self._read(lambda: self._live.entry(seq))

    async def of_call(self, call_id: str) -> list[tuple[int, bytes]]:
        """(seq, entry) of every durable entry of one call, oldest first: by the index, and by a look through
        what is not indexed yet. Raises BrokerError AUDIT_UNAVAILABLE when the log cannot be read.
        """
        end = await self._size()
        async with self._scanning:  # more threads would only wait for each other, and calls for them
            return await self._read(lambda: self._live.of_call(call_id, end))

    async def tail(self, after_seq: int, search: Search = ALL) -> AsyncIterator[tuple[int, bytes]]:
        """(seq, entry) of every durable entry with seq > `after_seq` (-1 for all) that `search` finds, up to
        those durable now. Raises BrokerError AUDIT_UNAVAILABLE when the log cannot be read.
        """
        seq, end = max(0, after_seq + 1), await self._size()
        while seq < end:
            page = await self._page(seq, end, search)
            for pair in page.entries:
                yield pair
            seq = page.next

    async def _page(self, seq: int, end: int, search: Search) -> Page:
        return await self._read(lambda: self._live.page(seq, end, search))

    async def checkpoint(self) -> bytes:
        """The newest signed checkpoint; it covers what was durable about a second ago. Raises NOT_FOUND
        before the first.
        """
        signed = await asyncio.to_thread(self._directory.checkpoint)
        if signed is None:
            raise BrokerError(Kind.NOT_FOUND, "The log has no checkpoint yet.", remedy="Ask in a second.")
        return signed

    async def _read(self, asked: Callable[[], T]) -> T:
        """From the files, which hold whatever is durable, in a thread."""
        try:
            return await asyncio.to_thread(asked)
        except (MalformedError, OSError) as error:
            raise BrokerError(
                Kind.AUDIT_UNAVAILABLE,
                "The entries of the log cannot be read.",
                remedy="Run `broker audit verify` on the log directory.",
            ) from error
