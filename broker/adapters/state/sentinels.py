"""Which server is in charge, as a majority of sentinels says.

Knows what a sentinel is asked. Must not know how one is come to, or who asks that server what. One that is
cut off from the others, with a server that was replaced meanwhile, is not believed: it is no majority.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import cast

from valkey.asyncio.connection import Connection

from broker.adapters.state.addresses import Primary, StoreAddress
from broker.adapters.state.connection import FAULTS, exchanged
from broker.adapters.state.refusals import StoreAwayError

EVERY_SECONDS = 0.5
ASK_SECONDS = 0.5
LOST_SECONDS = 3.0
"""Less than what makes a machine count as away: it refuses by then."""


class Sentinels:
    """All of them, asked at once; `connect` makes a connection to one, not open yet."""

    def __init__(
        self, addresses: Sequence[StoreAddress], service: str, connect: Callable[[StoreAddress], Connection]
    ) -> None:
        self._service = service
        self._connect = connect
        self._connections: dict[StoreAddress, Connection | None] = dict.fromkeys(addresses)
        self._one_at_a_time = asyncio.Lock()

    async def primary(self) -> Primary:
        """The server in charge. Raises StoreAwayError where no majority names one."""
        async with self._one_at_a_time:
            told = await asyncio.gather(*map(self._ask, self._connections))
        named = Counter(each for each in told if each is not None).most_common(1)
        if not named or named[0][1] <= len(self._connections) // 2:
            raise StoreAwayError("no majority of the sentinels names the store")
        return named[0][0]

    async def watch(self, primary: Primary) -> None:
        """For ever, while it is in charge. Raises StoreAwayError."""
        loop = asyncio.get_running_loop()
        seen = loop.time()
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            asked = loop.time()
            try:
                now = await self.primary()
            except StoreAwayError:
                if asked - seen > LOST_SECONDS:
                    raise
                continue
            if now != primary:
                raise StoreAwayError("the store was failed over")
            seen = asked

    async def aclose(self) -> None:
        """Lets all go."""
        for address in self._connections:
            await self._let_go(address)

    async def _ask(self, address: StoreAddress) -> Primary | None:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                connection = self._connections[address]
                if connection is None:
                    connection = self._connections[address] = self._connect(address)
                await connection.connect()  # type: ignore[no-untyped-call]
                (answer,) = await exchanged(connection, [("SENTINEL", "MASTER", self._service)])
                return _primary(cast("list[bytes]", answer))
        except FAULTS:
            await self._let_go(address)
            return None

    async def _let_go(self, address: StoreAddress) -> None:
        connection, self._connections[address] = self._connections[address], None
        if connection is not None:
            with contextlib.suppress(*FAULTS):
                await connection.disconnect(nowait=True)


def _primary(answer: list[bytes]) -> Primary:
    words = [word.decode() for word in answer]
    told = dict(zip(words[::2], words[1::2], strict=True))
    return Primary(StoreAddress(told["ip"], int(told["port"])), int(told["config-epoch"]))
