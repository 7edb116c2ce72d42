"""Machines that share one store: each with a log of its own, and any number of processes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from broker.adapters.ledger.access import JoinedWriter, StartedWriter, WriterProcess
from broker.adapters.ledger.keys import LogKeys
from broker.adapters.ledger.opening import Opening
from broker.adapters.ledger.termed import TermLedger
from broker.adapters.state.dialing import Dialer
from broker.adapters.state.keyspace import Keyspace
from broker.adapters.state.roster import Roster
from broker.adapters.state.rosterfile import RosterFile
from broker.adapters.state.shared import KeptState, SharedState, Store
from broker.adapters.state.sharedledger import SharedLedger
from tests.ledger.support import ORIGIN, RealClock

PATIENT = 10.0
"""For tests that ask for no deadline: disks of busy machines take their time."""


class ReachableStore(Protocol):
    """A store that a broker can be told of."""

    @property
    def dialer(self) -> Dialer: ...


@dataclass
class Machine:
    """One, as its broker has it. Implements CallLedgerSetup."""

    folder: Path
    log: TermLedger
    state: KeptState
    process: WriterProcess
    writer: StartedWriter
    store: Store

    @property
    def ledger(self) -> SharedLedger:
        return self.state.ledger

    @property
    def term(self) -> int:
        return self.state._keeper._term

    @property
    def roster(self) -> Roster:
        return self.state._keeper._roster

    def lose(self) -> None:
        self.process.kill()

    def restore(self) -> None:
        """A process that has ended is not started again."""

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[SharedState]:
        """Another process's part, but for the process."""
        log = TermLedger(self.folder, JoinedWriter(self.writer.admit()), RealClock())
        await log.open()
        state = SharedState(self.store, log, RealClock())
        await state.start()
        try:
            yield state
        finally:
            await state.aclose()
            await log.close()


def deployment(home: Path) -> Keyspace:
    """One for each test."""
    return Keyspace(hashlib.sha256(str(home).encode()).hexdigest()[:12])


@asynccontextmanager
async def machine(
    home: Path,
    server: ReachableStore,
    names: Keyspace | None = None,
    origin: str = ORIGIN,
    deadline: float = PATIENT,
    crashes: bool = False,
    names_key: str = "k",
    allowance: int = 0,
) -> AsyncIterator[Machine]:
    """The one whose log and keys lie in `home`; one that `crashes` says goodbye to nobody."""
    async with AsyncExitStack() as ends:
        process, keys = WriterProcess(), LogKeys.load_or_create(home / "keys")
        writer = StartedWriter(Opening(home / "log", home / "keys", origin, keys, "i1"), process)
        log = TermLedger(home / "log", writer, RealClock())
        await log.open()
        ends.push_async_callback(log.close)
        store = Store(server.dialer, names or deployment(home), deadline, allowance)
        state = KeptState(store, log, RealClock(), RosterFile(home / "keys"), names_key)
        ends.push_async_callback(_torn_off if crashes else KeptState.aclose, state)
        await state.start()
        yield Machine(home / "log", log, state, process, writer, store)


async def _torn_off(state: KeptState) -> None:
    for task in state._running:
        task.cancel()
    await asyncio.wait(state._running)
