"""Which tokens any machine has had revoked: told to the store, and heard from there, within a second.

Knows: a stream of the store, and how long nothing was heard. Must not know: who revokes, or who refuses.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable
from typing import cast

from broker.adapters.state.connection import StoreConnection
from broker.adapters.state.dialing import Dialer
from broker.adapters.state.keyspace import Keyspace
from broker.adapters.state.refusals import StoreAwayError
from broker.adapters.state.scripts import Answer, Command
from broker.adapters.state.together import until_one_ends
from broker.model.token import MAX_TOKEN_SECONDS
from broker.model.units import MS_PER_SECOND, NS_PER_SECOND
from broker.ports import Clock

EVERY_SECONDS = 0.4
REDIAL_SECONDS = 0.2
UNHEARD_SECONDS = 5.0
_KEPT_SECONDS = 2 * MAX_TOKEN_SECONDS
_AT_ONCE = 1000
_FROM_THE_BEGINNING = "-"


class RevocationFeed:
    """Use: `run` beside all else. `on_revoked` gets (token id, unix second until which to refuse it) of every
    token that the store tells of, also again.
    """

    def __init__(
        self, dialer: Dialer, names: Keyspace, clock: Clock, on_revoked: Callable[[str, int], None]
    ) -> None:
        self._dialer = dialer
        self._names = names
        self._clock = clock
        self._on_revoked = on_revoked
        self._untold: deque[tuple[str, int]] = deque()
        self._due = asyncio.Event()
        self._heard_at: float | None = None

    def unheard(self) -> str:
        """Why a token may be revoked that is not known to be; an empty string where the store told all of it
        within the last 5 s.
        """
        heard = self._heard_at
        if heard is not None and asyncio.get_running_loop().time() - heard <= UNHEARD_SECONDS:
            return ""
        return "the store has not told for 5 s which tokens are revoked"

    def tell(self, revoked: Iterable[tuple[str, int]]) -> None:
        """As soon as the store can be told."""
        self._untold.extend(revoked)
        self._due.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            with contextlib.suppress(StoreAwayError):
                connection = await self._dialer.dial(())
                try:
                    await until_one_ends(self._follow(connection), self._dialer.watch(connection))
                finally:
                    await connection.close()
            await asyncio.sleep(REDIAL_SECONDS)

    async def _follow(self, connection: StoreConnection) -> None:
        after = _FROM_THE_BEGINNING
        while True:
            asked_at = asyncio.get_running_loop().time()
            after = await self._exchange(connection, after)
            self._heard_at = asked_at
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY_SECONDS):
                    await self._due.wait()
            self._due.clear()

    async def _exchange(self, connection: StoreConnection, after: str) -> str:
        """Tells what is new here, and hears what is new there. What was told is forgotten once that is sure:
        twice does no harm.
        """
        telling = list(self._untold)
        await connection.run([self._telling(*each) for each in telling])
        for _ in telling:
            self._untold.popleft()
        while True:
            (answer,) = await connection.run([("XRANGE", self._names.revoked, after, "+", "COUNT", _AT_ONCE)])
            entries = cast("list[Answer]", answer)
            for entry in entries:
                place, (_, token_id, _, until) = cast("tuple[bytes, list[bytes]]", entry)
                self._on_revoked(token_id.decode(), int(until))
                after = f"({place.decode()}"
            if len(entries) < _AT_ONCE:
                return after

    def _telling(self, token_id: str, until: int) -> Command:
        oldest = (self._clock.now_ns() // NS_PER_SECOND - _KEPT_SECONDS) * MS_PER_SECOND
        key = self._names.revoked
        return ("XADD", key, "MINID", "~", oldest, "*", "token", token_id, "until", until)
