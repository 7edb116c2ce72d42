"""Which answer of a writer is to which question about limits.

Knows an event loop's futures. Must not know how a limit is counted, or who may know.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import count

from broker.adapters.ledger.limitquery import LimitQuery, LimitQuestion, parse_told
from broker.adapters.ledger.messages import WriterMessage
from broker.errors import BrokerError
from broker.model.charge import LimitUse, Taken, Window


class LimitQueries:
    """A ports.LimitReader of one ledger, on one event loop. `send` sends a message, or raises BrokerError."""

    def __init__(self, send: Callable[[WriterMessage], None]) -> None:
        self._send = send
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[tuple[LimitUse, ...]]] = {}

    async def taken_of(self, windows: Sequence[Window]) -> tuple[int, ...]:
        """See ports.LimitReader."""
        uses = await self._asked(LimitQuestion.TAKEN, windows)
        return tuple([use.taken.amount for use in uses])

    async def most_used(self, named: str, most: int) -> tuple[LimitUse, ...]:
        """See ports.LimitReader."""
        return await self._asked(LimitQuestion.MOST_USED, named=named, most=most)

    async def settled_of(self, limit: str) -> tuple[Taken, ...]:
        """See ports.LimitReader."""
        return tuple([use.taken for use in await self._asked(LimitQuestion.SETTLED, named=limit)])

    def answered(self, payload: bytes) -> None:
        """An answer came, as LIMITS_TOLD."""
        number, uses = parse_told(payload)
        waiting = self._waiting.pop(number)
        if not waiting.done():
            waiting.set_result(uses)

    def refuse(self, error: BrokerError) -> None:
        """No further one will come."""
        waiting, self._waiting = self._waiting, {}
        for each in waiting.values():
            if not each.done():
                each.set_exception(error)

    async def _asked(
        self, asks: LimitQuestion, windows: Sequence[Window] = (), named: str = "", most: int = 0
    ) -> tuple[LimitUse, ...]:
        query = LimitQuery(next(self._numbers), asks, windows, named, most)
        self._send(query.message())
        answer: asyncio.Future[tuple[LimitUse, ...]] = asyncio.get_running_loop().create_future()
        self._waiting[query.number] = answer
        return await answer
