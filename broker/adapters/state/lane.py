"""One process's way to the store: all that it asks goes there in order, on one connection, at once.

Knows: deadlines, and what becomes of what was asked when the connection is lost. Must not know: logs, who is
charged. Nobody waits for the store but who reserves, and that one not for long.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import structlog

from broker.adapters.state.connection import ANSWER_SECONDS, StoreConnection
from broker.adapters.state.dialing import Dialer
from broker.adapters.state.keyspace import Keyspace
from broker.adapters.state.refusals import StoreAwayError, unavailable
from broker.adapters.state.scripts import (
    RESERVE,
    SETTLE,
    TAKEN,
    Answer,
    AskedCharges,
    Command,
    OtherTerm,
    ReserveAnswer,
    Took,
    reserve,
    reserve_answer,
    settle,
    taken_of,
)
from broker.adapters.state.together import until_one_ends
from broker.budget.limits import CapPassed
from broker.model.charge import Charge, Taken, Window

AGAIN_SECONDS = 0.005
REDIAL_SECONDS = 0.2
DRAIN_SECONDS = 0.5
IDLE_SECONDS = 0.5
"""A store that is lost while nobody asks it anything is found so then."""
LINGER_SECONDS = 0.01
"""Changes wait so long for somebody who asks: one write to the store's disk is enough for both."""
_PING: Command = ("PING",)


@dataclass(frozen=True, eq=False, slots=True)
class AskedReservation:
    """What somebody waits for, who asked in this term."""

    charges: Sequence[Charge]
    term: int
    answer: asyncio.Future[ReserveAnswer] = field(repr=False)


@dataclass(frozen=True, slots=True)
class RecordedChange:
    """What is taken changes so, as the machine's log has recorded it in this term."""

    term: int
    changes: tuple[Taken, ...]


Look = asyncio.Future[Answer]
"""What somebody waits for who only looks."""
Asked = AskedReservation | RecordedChange | Look | None
"""What the store was asked; None: whether it is there."""


class StateLane:
    """Use: `run` beside all else, for as long as the process lives."""

    def __init__(self, dialer: Dialer, names: Keyspace, machine: str) -> None:
        self._dialer = dialer
        self._names = names
        self._machine = machine
        self._connection: StoreConnection | None = None
        self._away = "the store has not been reached yet"
        self._unsure = False
        self._term = 0
        self._ended = 0
        self._alone = 0
        self._asked: deque[Asked] = deque()
        self._changes: deque[RecordedChange] = deque()
        self._due = asyncio.Event()
        self._heard_at = 0.0
        self._log = structlog.get_logger()

    @property
    def away(self) -> str:
        """Why the store cannot be asked; an empty string where it can."""
        return self._away

    async def run(self) -> None:
        """Keeps a connection, and asks on it; for ever."""
        while True:
            try:
                connection = await self._dialer.dial((RESERVE, SETTLE, TAKEN))
            except StoreAwayError as error:
                self._lose(error)
                await asyncio.sleep(REDIAL_SECONDS)
                continue
            try:
                await self._greet(connection)
                await until_one_ends(
                    self._hear(connection), self._tend(connection), self._dialer.watch(connection)
                )
            except StoreAwayError as error:
                self._lose(error)
            finally:
                self._connection = None
                await connection.close()

    async def take(self, charges: Sequence[Charge], deadline: float) -> Took | CapPassed:
        """All of them, or what keeps them from being taken, by this time of the loop. Raises BrokerError
        STATE_UNAVAILABLE.
        """
        asked = AskedCharges.of(charges, self._names)
        loop = asyncio.get_running_loop()
        while True:
            answer = await self._ask(charges, asked, deadline)
            if isinstance(answer, Took | CapPassed):
                return answer
            if isinstance(answer, OtherTerm) and self._learn(answer.term):
                continue
            if loop.time() + AGAIN_SECONDS > deadline:
                raise unavailable("not all brokers have told the store yet what they hold")
            await asyncio.sleep(AGAIN_SECONDS)

    async def taken_of(self, windows: Sequence[Window]) -> tuple[int, ...]:
        """What all machines have taken of each. Raises BrokerError STATE_UNAVAILABLE."""
        connection = self._connection
        if connection is None:
            raise unavailable(self._away)
        look: Look = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._send(connection, [(look, taken_of(windows, self._names))])
                return tuple(cast("list[int]", await look))
        except (StoreAwayError, TimeoutError) as error:
            raise unavailable("the store does not answer") from error

    def change(self, term: int, changes: Sequence[Taken]) -> None:
        """Has what is taken changed, in the order of these calls, as soon as the store can be asked."""
        if changes:
            self._changes.append(RecordedChange(term, tuple(changes)))
            self._due.set()

    async def drain(self) -> None:
        """Waits until all changes are made: at most half a second, and not where the store is away."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                while self._changes and not self._away:  # noqa: ASYNC110 - once in a process's life
                    await asyncio.sleep(AGAIN_SECONDS)

    @property
    def last_term(self) -> int:
        """The newest that is known of; 0 where none is."""
        return max(self._term, self._ended)

    def took_alone(self) -> None:
        """The log has recorded what the store was not asked: it must be told in a new term."""
        self._unsure = True
        self._alone = self.last_term
        self.term_ended(self._alone)

    def term_ended(self, term: int) -> None:
        """The machine's log says so: nothing is asked in this term any more."""
        self._ended = max(self._ended, term)
        if self._term <= self._ended:
            self._term = 0

    def _learn(self, term: int) -> bool:
        """Whether the machine is in a term that can be asked in."""
        if term > self._ended:
            self._term = term
        return term > self._ended

    async def _ask(self, charges: Sequence[Charge], asked: AskedCharges, deadline: float) -> ReserveAnswer:
        connection = self._connection
        if connection is None:
            raise unavailable(self._away)
        loop, term = asyncio.get_running_loop(), self._term
        waiting = AskedReservation(charges, term, loop.create_future())
        command = reserve(asked, self._names, connection.incarnation, self._machine, term)
        late = loop.call_at(deadline, _give_up, waiting.answer)
        try:
            await self._send(connection, [*self._due_changes(), (waiting, command)])
            return await waiting.answer
        except StoreAwayError as error:
            raise unavailable(str(error)) from error
        finally:
            late.cancel()

    def _due_changes(self) -> list[tuple[Asked, Command]]:
        """What gives back goes first."""
        due, names = [each for each in self._changes if each.term > self._alone], self._names
        self._changes.clear()  # the store has not all that such a term took; it is told with the next one
        return [(each, settle(each.changes, names, self._machine, each.term)) for each in due]

    async def _send(self, connection: StoreConnection, asking: Sequence[tuple[Asked, Command]]) -> None:
        if not self._asked:
            self._heard_at = asyncio.get_running_loop().time()
        self._asked.extend([each for each, _ in asking])
        await connection.send([command for _, command in asking])

    async def _greet(self, connection: StoreConnection) -> None:
        if self._unsure:
            await connection.run([("SADD", self._names.unsure, self._machine)])
            self._unsure = False
        (term,) = await connection.run([("HGET", self._names.terms, self._machine)])
        self._learn(int(cast("bytes", term or 0)))
        self._connection = connection
        if self._away:
            self._away = ""
            self._log.info("state_reached")

    async def _hear(self, connection: StoreConnection) -> None:
        """The answers come in the order of what was asked."""
        while True:
            answer = await connection.receive()
            self._heard_at = asyncio.get_running_loop().time()
            asked = self._asked.popleft()
            if isinstance(asked, AskedReservation):
                self._answer(asked, reserve_answer(answer, asked.term))
            elif isinstance(asked, asyncio.Future):
                if not asked.done():
                    asked.set_result(answer)
            elif asked is not None and answer:  # its term has not begun there yet
                self._changes.append(asked)
                self._due.set()

    async def _tend(self, connection: StoreConnection) -> None:
        """Sees that changes go, and that the store is there."""
        while True:
            await self._something_due(IDLE_SECONDS)
            await asyncio.sleep(LINGER_SECONDS)
            if self._changes:
                await self._send(connection, self._due_changes())
            elif not self._asked:
                await self._send(connection, [(None, _PING)])
            if self._asked and asyncio.get_running_loop().time() - self._heard_at > ANSWER_SECONDS:
                raise StoreAwayError("the store does not answer")

    async def _something_due(self, seconds: float) -> None:
        """At most so long."""
        over = asyncio.get_running_loop().call_later(seconds, self._due.set)
        await self._due.wait()
        over.cancel()
        self._due.clear()

    def _answer(self, asked: AskedReservation, answer: ReserveAnswer) -> None:
        """Who has given up meanwhile takes nothing."""
        if not asked.answer.done():
            asked.answer.set_result(answer)
        elif isinstance(answer, Took):
            self.change(answer.term, given_back(asked.charges))

    def _lose(self, error: StoreAwayError) -> None:
        """Whether it has done what it was asked last nobody knows; the keeper will find out."""
        if not self._away:
            self._log.warning("state_away", why=str(error))
        self._away = str(error)
        self._unsure |= any(isinstance(each, AskedReservation | RecordedChange) for each in self._asked)
        for each in self._asked:
            answer = each.answer if isinstance(each, AskedReservation) else each
            if isinstance(answer, asyncio.Future) and not answer.done():
                answer.set_exception(unavailable(self._away))
        self._asked.clear()


def _give_up(answer: asyncio.Future[ReserveAnswer]) -> None:
    if not answer.done():
        answer.set_exception(unavailable("the store does not answer in time"))


def given_back(charges: Sequence[Charge]) -> list[Taken]:
    """The changes that undo them."""
    return [each.taken._replace(amount=-each.taken.amount) for each in charges]
