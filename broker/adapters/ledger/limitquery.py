"""What a ledger asks its writer about limits, and what it is answered.

Knows the form of LIMITS and LIMITS_TOLD. Must not know how a limit is counted, or who may know.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import orjson

from broker.adapters.ledger.messages import MessageType, WriterMessage
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


def parse_told(payload: bytes) -> tuple[int, tuple[LimitUse, ...]]:
    """The number of the question that a LIMITS_TOLD message answers, and the answer."""
    number, uses = orjson.loads(payload)
    return number, tuple([LimitUse(Taken(name, UNITS[unit], *told), cap) for name, unit, *told, cap in uses])
