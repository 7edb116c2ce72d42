"""What is taken of everybody's limits, and having one begin anew.

Knows: who may see what, and what a reset leaves in the log. Must not know: wire formats, where limits are
counted.
"""

from __future__ import annotations

import asyncio

from broker.errors import BrokerError, Kind
from broker.model.charge import LimitUse, Taken, most_charges
from broker.model.operation import AdminAction
from broker.model.record import Record, RecordType
from broker.model.request_context import RequestContext
from broker.ports import CallLedger, LimitReader
from broker.services.administrator import Administrator

MOST_LISTED = 1000
RESET = "reset"


class LimitAdministrator:
    """`reader` knows what is taken, `ledger` records what is given back."""

    def __init__(self, administrator: Administrator, reader: LimitReader, ledger: CallLedger) -> None:
        self._administrator = administrator
        self._reader = reader
        self._ledger = ledger

    async def most_used(self, context: RequestContext, named: str, most: int) -> tuple[LimitUse, ...]:
        """The limits whose name contains `named`, those first that are nearly used up; 1,000 at most."""
        await self._administrator.allow(context, AdminAction.LIMITS_READ)
        if not 0 < most <= MOST_LISTED:
            remedy = "Give a part of the name of those you look for."
            raise BrokerError(
                Kind.BAD_REQUEST, f"It lists 1 to {MOST_LISTED} limits.", param="most", remedy=remedy
            )
        return await self._reader.most_used(named, most)

    async def reset(self, context: RequestContext, limit: str) -> tuple[Taken, ...]:
        """Gives back what calls that are over have taken of the limit of this name, as records call it; what
        is under way stays. Recorded, durably, when this returns what was given back; what was begun is done,
        whoever leaves. Raises NOT_FOUND, too.
        """
        asked = await self._administrator.allow(context, AdminAction.LIMITS_RESET)
        record = self._administrator.record(RecordType.LIMIT, context, AdminAction.LIMITS_RESET)
        return await asyncio.shield(self._give_back(limit, record._replace(reason=RESET, policy_input=asked)))

    async def _give_back(self, limit: str, record: Record) -> tuple[Taken, ...]:
        settled = await self._reader.settled_of(limit)
        if not settled:
            raise BrokerError(
                Kind.NOT_FOUND,
                "Nothing is taken of a limit of this name that could be given back.",
                param="limit",
                remedy="Name it as `broker limits show` does, the account included.",
            )
        given = tuple(each._replace(amount=-each.amount) for each in settled)
        many = most_charges(limit)
        for begin in range(0, len(given), many):
            part = given[begin : begin + many]
            await self._ledger.settle(record._replace(adjusted=part), part)
        return settled
