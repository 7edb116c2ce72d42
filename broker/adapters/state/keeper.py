"""Keeps a machine's part of the store true to its log, and lets reservations in once all have done so.

Knows: when a machine's next term begins, and what it waits for. Must not know: scripts, files. One a machine:
in the process that has the log's writer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from broker.adapters.ledger.termed import TermLedger
from broker.adapters.state import parts
from broker.adapters.state.connection import StoreConnection
from broker.adapters.state.dialing import Dialer
from broker.adapters.state.keyspace import Keyspace
from broker.adapters.state.refusals import StoreAwayError
from broker.adapters.state.roster import LEFT, Readiness, Roster
from broker.adapters.state.scripts import ADOPT, BEAT, BEGIN, OPEN, StoreState, state_answer
from broker.adapters.state.together import until_one_ends
from broker.errors import BrokerError
from broker.model.units import NS_PER_US, US_PER_SECOND
from broker.ports import Clock

BEAT_SECONDS = 1.0
SOON_SECONDS = 0.1
REDIAL_SECONDS = 0.2
UNSURE_SECONDS = 2.0
CLOCK_SECONDS = 30
NAMED_US = 3 * US_PER_SECOND
"""For so long a name is of whoever used it last."""


class Keeper:
    """Use: `run` beside all else, then `leave`."""

    def __init__(
        self,
        dialer: Dialer,
        names: Keyspace,
        log: TermLedger,
        roster: Roster,
        remember: Callable[[], Awaitable[None]],
        begun: Callable[[], None],
        clock: Clock,
        names_key: str,
    ) -> None:
        """`remember` makes durable what the roster knows; `begun` is called where the store may have lost
        what it was told; `names_key` is the fingerprint of the key that names of limits are committed with.
        The machine is called as its log.
        """
        self._dialer = dialer
        self._names = names
        self._ledger = log
        self._machine = log.origin
        self._roster = roster
        self._remember = remember
        self._begun = begun
        self._clock = clock
        self._names_key = names_key
        self._term = 0
        self._beat = LEFT
        self._begun_at = 0.0
        self._unsure_at = 0.0
        self._trouble = "the store has not been reached yet"
        self._log = structlog.get_logger()

    @property
    def trouble(self) -> str:
        """Why nobody may reserve; an empty string where all is well."""
        return self._trouble

    def grow_unsure(self) -> None:
        """A process of this machine has ended: nobody knows whether what it last asked was done. Its log
        tells in a moment what it left.
        """
        self._unsure_at = self._now()

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                connection = await self._dialer.dial((BEAT, BEGIN, ADOPT, OPEN))
                try:
                    self._roster.look_anew()
                    await until_one_ends(self._go_on(connection), self._dialer.watch(connection))
                finally:
                    await connection.close()
            except StoreAwayError as error:
                self._tell(str(error))
            except BrokerError as error:
                self._tell(error.message)  # the log is lost: the process will end
            await asyncio.sleep(REDIAL_SECONDS)

    async def leave(self) -> None:
        """The machine ends in order: nobody waits for it."""
        if self._term:
            try:
                connection = await self._dialer.dial(())
                try:
                    await connection.run([("HSET", self._names.beats, self._machine, LEFT)])
                finally:
                    await connection.close()
            except StoreAwayError:
                return  # it is missed after a while

    async def _go_on(self, connection: StoreConnection) -> None:
        while True:
            await self._rest(connection, await self._keep(connection))

    async def _keep(self, connection: StoreConnection) -> float:
        """One look at how all stand, and what follows; in how many seconds to look again."""
        state = await self._look(connection)
        if not state.beat:
            self._tell(f"another broker has audit.origin {self._machine}, too")
            return SOON_SECONDS
        self._beat = state.beat
        if stranger := await self._unlike(connection, state):
            await connection.run([("HDEL", self._names.ready, self._machine)])
            self._tell(stranger)
            return BEAT_SECONDS
        if self._must_begin(state, connection.incarnation):
            await self._begin(connection, state)
            return 0.0
        await self._see_off(connection, state)
        if state.epoch != connection.incarnation:
            await self._open(connection, state)
            return SOON_SECONDS
        self._tell("")
        return BEAT_SECONDS

    async def _rest(self, connection: StoreConnection, seconds: float) -> None:
        """So long, unless the store is lost or emptied meanwhile."""
        until = self._now() + seconds
        while self._now() < until:
            await asyncio.sleep(SOON_SECONDS)
            if seconds > SOON_SECONDS:
                (epoch,) = await connection.run([("GET", self._names.epoch)])
                if epoch != connection.incarnation.encode():
                    return

    async def _look(self, connection: StoreConnection) -> StoreState:
        names = self._names
        keys = (names.epoch, names.ready, names.terms, names.beats, names.unsure)
        (answer,) = await connection.run([BEAT.run(keys, self._machine, self._beat, NAMED_US)])
        state, before = state_answer(answer), dict(self._roster.known)
        self._roster.observe(state, self._now())
        if self._roster.known != before:
            await self._remember()
        return state

    async def _unlike(self, connection: StoreConnection, state: StoreState) -> str:
        """Why the name of a limit, or the beginning of a window, would not mean here what it means at the
        other machines; an empty string where it does.
        """
        apart = abs(self._clock.now_ns() // NS_PER_US - state.beat) // US_PER_SECOND
        if apart > CLOCK_SECONDS:
            return f"the clocks of this machine and of the store are {apart} s apart"
        key = self._names.names_key
        _, theirs = await connection.run([("SET", key, self._names_key, "NX"), ("GET", key)])
        if theirs != self._names_key.encode():
            return "this broker has another commitment.key in audit.keys than the others"
        return ""

    def _must_begin(self, state: StoreState, incarnation: str) -> bool:
        """Whether what the store has of this machine may not be what its log says."""
        known = state.ready.get(self._machine) == incarnation
        if not known or not self._term or state.terms.get(self._machine) != self._term:
            return True
        unsure = state.unsure or self._unsure_at + BEAT_SECONDS > self._begun_at
        return unsure and self._now() - max(self._begun_at, self._unsure_at) > UNSURE_SECONDS

    async def _begin(self, connection: StoreConnection, state: StoreState) -> None:
        """The machine's next term. What was let be taken in the one before is recorded no more from the
        moment on in which it is read what is held.
        """
        before = state.terms.get(self._machine, 0)
        term = max(self._clock.now_ns() // NS_PER_US, before + 1, self._term + 1)
        await connection.run([parts.writing(self._names, self._machine, term)])
        held = await self._ledger.begin_term(term)
        self._term, self._begun_at = term, self._now()
        await parts.begin(connection, self._names, self._machine, term, held, before)
        self._begun()

    async def _see_off(self, connection: StoreConnection, state: StoreState) -> None:
        """Remembers what those hold that went away."""
        for machine, term in self._roster.unseen(state, self._now()).items():
            self._roster.saw(machine, term, await parts.read(connection, self._names, term))
            await self._remember()
            self._log.warning("machine_away", machine=machine)

    async def _open(self, connection: StoreConnection, state: StoreState) -> None:
        """Lets reservations in, where nothing is missing."""
        needed = self._roster.readiness(state, connection.incarnation, self._now())
        if told := _missing(needed):
            self._tell(told)
            return
        for machine in needed.restored:
            known = self._roster.known[machine]
            await parts.adopt(connection, self._names, machine, known.term, known.held or ())
        keys = (self._names.epoch, self._names.ready, self._names.terms)
        there = (*needed.ready, *needed.away, *needed.restored)
        await connection.run([OPEN.run(keys, connection.incarnation, len(needed.ready), *there)])

    def _tell(self, trouble: str) -> None:
        """Once for each."""
        if trouble != self._trouble:
            if trouble:
                self._log.warning("limits_closed", why=trouble)
            else:
                self._log.info("limits_open", term=self._term)
            self._trouble = trouble

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _missing(needed: Readiness) -> str:
    if needed.lost:
        return f"the store has lost what {', '.join(needed.lost)} held: start it again"
    if needed.awaited:
        return f"{', '.join(needed.awaited)} has not told the store yet what it holds"
    return ""
