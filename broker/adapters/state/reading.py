"""`ports.LimitReader` of limits that machines share: what all of them have taken.

Knows: whom to ask for what. Must not know: who may know it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from broker.adapters.state import parts
from broker.adapters.state.dialing import Dialer
from broker.adapters.state.keyspace import Keyspace
from broker.adapters.state.lane import StateLane
from broker.adapters.state.refusals import StoreAwayError, unavailable
from broker.budget.uses import LimitUses
from broker.model.charge import LimitUse, Taken, Window
from broker.ports import LimitReader

_ALL = 1000


class SharedLimitReader:
    """Raises BrokerError STATE_UNAVAILABLE where the store is away. `own` is of this machine's log."""

    def __init__(self, dialer: Dialer, names: Keyspace, lane: StateLane, own: LimitReader) -> None:
        self._dialer = dialer
        self._names = names
        self._lane = lane
        self._own = own

    async def taken_of(self, windows: Sequence[Window]) -> tuple[int, ...]:
        """See ports.LimitReader."""
        return await self._lane.taken_of(windows) if windows else ()

    async def most_used(self, named: str, most: int) -> tuple[LimitUse, ...]:
        """See ports.LimitReader. A cap is known where a call has named it at this machine."""
        caps = {use.taken[:4]: use.cap for use in await self._own.most_used(named, _ALL)}
        known = {window: cap for window, cap in caps.items() if cap is not None}
        try:
            connection = await self._dialer.dial(())
            try:
                taken = await parts.read_all(connection, self._names)
            finally:
                await connection.close()
        except StoreAwayError as error:
            raise unavailable(str(error)) from error
        return LimitUses(taken, known, int(time.time())).most_used(named, most)

    async def settled_of(self, limit: str) -> tuple[Taken, ...]:
        """What calls of this machine have taken: another's log tells of its own."""
        return await self._own.settled_of(limit)
