"""Where an RPC waits for its turn, before its message is read.

Knows: how an RPC waits, and is woken. Must not know: whose turn it is, gRPC.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from broker.errors import BrokerError
from broker.listeners.overload import LoadShedder, Sender


@dataclass(slots=True, eq=False)
class _Entering:
    """Implements `listeners.overload.Request`."""

    call_id: str
    begun: bool = False
    refusal: BrokerError | None = None
    told: asyncio.Future[None] | None = field(default=None, repr=False)

    def begin(self) -> bool:
        if self.told is not None and self.told.done():  # the caller left, or its deadline passed
            return False
        self.begun = True
        self._tell()
        return True

    def refuse(self, error: BrokerError) -> str:
        self.refusal = error
        self._tell()
        return self.call_id

    def _tell(self) -> None:
        if self.told is not None and not self.told.done():
            self.told.set_result(None)


async def turn_of(sender: Sender, call_id: str, shedder: LoadShedder) -> None:
    """Returns when it is the RPC's turn: `shedder.ended` is then due. Raises OVERLOADED."""
    entering = _Entering(call_id)
    shedder.arrive(sender, entering)
    if not entering.begun and entering.refusal is None:
        entering.told = asyncio.get_running_loop().create_future()
        try:
            await entering.told
        except asyncio.CancelledError:
            if entering.begun:
                shedder.ended(sender)
            raise
    if entering.refusal is not None:
        raise entering.refusal
