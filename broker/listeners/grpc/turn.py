"""Where an RPC waits for its turn, before its message is read.

Knows: how an RPC waits, and is woken. Must not know: whose turn it is, gRPC.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from broker.errors import BrokerError
from broker.listeners.overload import BegunRequest, LoadShedder, Sender, overloaded


@dataclass(slots=True, eq=False)
class _EnteringRpc:
    """Implements `listeners.overload.Request`."""

    call_id: str
    begun: BegunRequest | None = None
    refusal: BrokerError | None = None
    told: asyncio.Future[None] | None = field(default=None, repr=False)

    def begin(self, begun: BegunRequest) -> bool:
        if self.told is not None and self.told.done():  # the caller left, or its deadline passed
            return False
        self.begun = begun
        self._tell()
        return True

    def refuse(self, error: BrokerError) -> str:
        self.refusal = error
        self._tell()
        return self.call_id

    def _tell(self) -> None:
        if self.told is not None and not self.told.done():
            self.told.set_result(None)


async def turn_of(sender: Sender, call_id: str, shedder: LoadShedder) -> BegunRequest:
    """Returns when it is the RPC's turn: `ended` is then due. Raises OVERLOADED."""
    entering = _EnteringRpc(call_id)
    shedder.arrive(sender, entering)
    if entering.begun is None and entering.refusal is None:
        entering.told = asyncio.get_running_loop().create_future()
        try:
            await entering.told
        except asyncio.CancelledError:
            if entering.begun is not None:
                entering.begun.ended()
            raise
    if entering.begun is None:
        raise entering.refusal or overloaded()
    return entering.begun
