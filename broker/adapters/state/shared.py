"""What one process of a machine has of the shared state, from its start to its end.

Knows: which parts there are. Must not know: what they do.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from broker.adapters.ledger.termed import TermLedger
from broker.adapters.state.allowance import LocalAllowance
from broker.adapters.state.dialing import Dialer
from broker.adapters.state.feed import RevocationFeed
from broker.adapters.state.keeper import Keeper
from broker.adapters.state.keyspace import Keyspace
from broker.adapters.state.lane import StateLane
from broker.adapters.state.reading import SharedLimitReader
from broker.adapters.state.roster import Roster
from broker.adapters.state.rosterfile import RosterFile
from broker.adapters.state.sharedledger import SharedLedger
from broker.ports import Clock

START_SECONDS = 3.0
_LOOK_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Store:
    """The store of a deployment, for how many seconds a call waits for it, and what share of what was left a
    process may let be taken while it is away.
    """

    dialer: Dialer
    names: Keyspace
    deadline: float = 0.05
    allowance_percent: int = 0


class SharedState:
    """Use: `await start()`, `ledger` from then on, `await aclose()`."""

    def __init__(self, store: Store, log: TermLedger, clock: Clock) -> None:
        """`log` is open."""
        self._dialer = store.dialer
        self._lane = StateLane(store.dialer, store.names, log.origin)
        self._running: list[asyncio.Task[None]] = []
        self._feed = RevocationFeed(store.dialer, store.names, clock, log.hear_revoked)
        self.ledger = SharedLedger(
            log, self._lane, self._feed, clock, store.deadline, LocalAllowance(store.allowance_percent)
        )
        self.limits = SharedLimitReader(store.dialer, store.names, self._lane, log.limits)

    def trouble(self) -> str:
        """Why no call with limits can be served; an empty string where it can."""
        return self._lane.away

    def unheard(self) -> str:
        """Why no call at all can be served: see RevocationFeed."""
        return self._feed.unheard()

    async def start(self) -> None:
        """A store that is away keeps no broker from starting: calls with limits are refused meanwhile."""
        self._run()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                while self.trouble() or self.unheard():  # noqa: ASYNC110 - twice in a process's life
                    await asyncio.sleep(_LOOK_SECONDS)

    async def aclose(self) -> None:
        """Ends it, once what was settled is in the store, or at least was tried to be."""
        await self._lane.drain()
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)
        await self._leave()
        await self._dialer.aclose()

    async def _leave(self) -> None:
        """Nobody waits for this process."""

    def _run(self) -> None:
        self._running += [asyncio.create_task(self._lane.run()), asyncio.create_task(self._feed.run())]


class KeptState(SharedState):
    """Of the process that has the log's writer: it keeps the machine's part, too."""

    def __init__(self, store: Store, log: TermLedger, clock: Clock, file: RosterFile, names_key: str) -> None:
        """`names_key`: see Keeper. Raises ConfigError and OSError where the file of other machines cannot be
        read. Blocking.
        """
        super().__init__(store, log, clock)
        roster = Roster(log.origin, file.read())

        async def remember() -> None:
            await asyncio.to_thread(file.write, dict(roster.known))

        def begun() -> None:
            self._feed.tell(log.revoked)

        self._keeper = Keeper(store.dialer, store.names, log, roster, remember, begun, clock, names_key)

    def trouble(self) -> str:
        """See SharedState."""
        return self._keeper.trouble or super().trouble()

    def worker_left(self) -> None:
        """A process of this machine has ended, perhaps in the middle of something."""
        self._keeper.grow_unsure()

    async def _leave(self) -> None:
        """Other machines do not wait for this one."""
        await self._keeper.leave()

    def _run(self) -> None:
        self._running.append(asyncio.create_task(self._keeper.run()))
        super()._run()
