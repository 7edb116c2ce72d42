"""What a ledger asks its writer about limits, and what it is answered.

Knows the form of LIMITS and LIMITS_TOLD, and which answer is to which question. Must not know how a limit is
counted, or who may know.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from enum import StrEnum
from itertools import count
from typing import NamedTuple

import orjson

from broker.adapters.ledger.messages import MessageType, WriterMessage
from broker.errors import BrokerError
from broker.model.charge import UNITS, LimitUse, Taken, Window


class LimitQuestion(StrEnum):
    """What is asked: what is taken of these windows; which limits of such a name are used most; what calls
    that are over have taken of this one.
    """

    TAKEN = "taken"
    MOST_USED = "most_used"
    SETTLED = "settled"


class LimitQuery(NamedTuple):
    """One question, and the number of its answer."""

    number: int
    asks: LimitQuestion
    windows: Sequence[Window] = ()
    named: str = ""
    most: int = 0

    def message(self) -> WriterMessage:
        """LIMITS."""
        return WriterMessage(MessageType.LIMITS, orjson.dumps(list(self)))

    @staticmethod
    def parse(payload: bytes) -> LimitQuery:
        """The question of a LIMITS message."""
        number, asks, windows, named, most = orjson.loads(payload)
        asked = [(limit, UNITS[unit], seconds, start) for limit, unit, seconds, start in windows]
        return LimitQuery(number, LimitQuestion(asks), asked, named, most)

    def told(self, uses: Sequence[LimitUse]) -> WriterMessage:
        """LIMITS_TOLD."""
        return WriterMessage(
            MessageType.LIMITS_TOLD, orjson.dumps([self.number, [[*taken, cap] for taken, cap in uses]])
        )


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
        number, uses = orjson.loads(payload)
        waiting = self._waiting.pop(number)
        if not waiting.done():
            waiting.set_result(
                tuple([LimitUse(Taken(name, UNITS[unit], *told), cap) for name, unit, *told, cap in uses])
            )

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
