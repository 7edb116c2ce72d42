"""One process's way to the store: what is asked meanwhile goes there together, on one connection, in order.

Knows: batches, deadlines, what becomes of what was asked when the connection is lost. Must not know: logs,
who is charged. Nobody waits for the store but who reserves, and that one not for long.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import structlog

from broker.adapters.state.dialing import Dialer, StoreConnection
from broker.adapters.state.keyspace import Keyspace
from broker.adapters.state.refusals import StoreAwayError, unavailable
from broker.adapters.state.scripts import (
    RESERVE,
    SETTLE,
    Answer,
    AskedCharges,
    OtherTerm,
    ReserveAnswer,
    Took,
    WindowEnded,
    reserve,
    reserve_answer,
    settle,
)
from broker.budget.limits import CapPassed
from broker.model.charge import Charge, Taken

AGAIN_SECONDS = 0.005
REDIAL_SECONDS = 0.2
DRAIN_SECONDS = 0.5
IDLE_SECONDS = 0.5
"""A store that is lost while nobody asks it anything is found so then."""
_AT_ONCE = 256


@dataclass(eq=False, slots=True)
class WaitingCharges:
    """What somebody waits for."""

    charges: Sequence[Charge]
    asked: AskedCharges
    answer: asyncio.Future[ReserveAnswer] = field(repr=False)


@dataclass(frozen=True, slots=True)
class RecordedChange:
    """What is taken changes so, as the machine's log has recorded it in this term."""

    term: int
    changes: tuple[Taken, ...]


class StateLane:
    """Use: `run` beside all else, for as long as the process lives."""

    def __init__(self, dialer: Dialer, names: Keyspace, machine: str) -> None:
        self._dialer = dialer
        self._names = names
        self._machine = machine
        self._away = "the store has not been reached yet"
        self._unsure = False
        self._term = 0
        self._ended = 0
        self._waiting: deque[WaitingCharges] = deque()
        self._changes: deque[RecordedChange] = deque()
        self._due = asyncio.Event()
        self._log = structlog.get_logger()

    @property
    def away(self) -> str:
        """Why the store cannot be asked; an empty string where it can."""
        return self._away

    async def run(self) -> None:
        """Keeps a connection, and asks on it; for ever."""
        while True:
            try:
                connection = await self._dialer.dial((RESERVE, SETTLE))
            except StoreAwayError as error:
                self._lose(error)
                await asyncio.sleep(REDIAL_SECONDS)
                continue
            try:
                await self._serve(connection)
            except StoreAwayError as error:
                self._lose(error)
            finally:
                await connection.close()

    async def take(self, charges: Sequence[Charge], deadline: float) -> Took | CapPassed:
        """All of them, or what keeps them from being taken, by this time of the loop. Raises BrokerError
        STATE_UNAVAILABLE.
        """
        asked = AskedCharges.of(charges, self._names)
        loop = asyncio.get_running_loop()
        while True:
            if self._away:
                raise unavailable(self._away)
            answer = await self._ask(WaitingCharges(charges, asked, loop.create_future()), deadline)
            if isinstance(answer, WindowEnded):
                raise unavailable("this machine's clock and the store's are too far apart")
            if isinstance(answer, Took | CapPassed):
                return answer
            if isinstance(answer, OtherTerm) and self._learn(answer.term):
                continue
            if loop.time() + AGAIN_SECONDS > deadline:
                raise unavailable("not all brokers have told the store yet what they hold")
            await asyncio.sleep(AGAIN_SECONDS)

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

    async def _ask(self, waiting: WaitingCharges, deadline: float) -> ReserveAnswer:
        self._waiting.append(waiting)
        self._due.set()
        try:
            async with asyncio.timeout_at(deadline):
                return await waiting.answer
        except TimeoutError:
            raise unavailable("the store does not answer in time") from None

    async def _serve(self, connection: StoreConnection) -> None:
        if self._unsure:
            await connection.run([("SADD", self._names.unsure, self._machine)])
            self._unsure = False
        (term,) = await connection.run([("HGET", self._names.terms, self._machine)])
        self._learn(int(cast("bytes", term or 0)))
        if self._away:
            self._away = ""
            self._log.info("state_reached")
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(IDLE_SECONDS):
                    await self._due.wait()
            if not self._due.is_set():
                await connection.run([("PING",)])
            self._due.clear()
            while self._waiting or self._changes:
                if not await self._exchange(connection):
                    await asyncio.sleep(AGAIN_SECONDS)

    async def _exchange(self, connection: StoreConnection) -> bool:
        """One batch: what gives back first. False where it was changes alone that the store does not take
        yet.
        """
        changes = [self._changes[at] for at in range(min(_AT_ONCE, len(self._changes)))]
        asking = self._next()
        term, names, machine = self._term, self._names, self._machine
        commands = [settle(each.changes, names, machine, each.term) for each in changes]
        commands += [reserve(each.asked, names, connection.incarnation, machine, term) for each in asking]
        try:
            answers = await connection.run(commands)
        except StoreAwayError:
            for _ in changes:
                self._changes.popleft()  # whether they were made nobody knows: see keeper
            for each in asking:
                self._answer(each, None)
            raise
        kept = self._settled(changes, answers[: len(changes)])
        for each, answer in zip(asking, answers[len(changes) :], strict=True):
            self._answer(each, reserve_answer(answer, term))
        return bool(asking) or kept < len(changes)

    def _next(self) -> list[WaitingCharges]:
        """Who waits longest, but for those that have given up."""
        asking: list[WaitingCharges] = []
        while self._waiting and len(asking) < _AT_ONCE:
            each = self._waiting.popleft()
            if not each.answer.done():
                asking.append(each)
        return asking

    def _settled(self, changes: Sequence[RecordedChange], answers: Sequence[Answer]) -> int:
        """How many of them are kept, because their term has not begun in the store yet."""
        for _ in changes:
            self._changes.popleft()
        kept = [each for each, answer in zip(changes, answers, strict=True) if answer]
        self._changes.extendleft(reversed(kept))
        return len(kept)

    def _answer(self, waiting: WaitingCharges, answer: ReserveAnswer | None) -> None:
        """Who has given up meanwhile takes nothing."""
        if waiting.answer.done():
            if isinstance(answer, Took):
                self.change(answer.term, [_given_back(each.taken) for each in waiting.charges])
        elif answer is not None:
            waiting.answer.set_result(answer)
        else:
            waiting.answer.set_exception(unavailable("the store was lost"))

    def _lose(self, error: StoreAwayError) -> None:
        self._unsure |= error.unsure
        if not self._away:
            self._log.warning("state_away", why=str(error))
        self._away = str(error)
        while self._waiting:
            self._answer(self._waiting.popleft(), None)


def given_back(charges: Sequence[Charge]) -> list[Taken]:
    """The changes that undo them."""
    return [_given_back(each.taken) for each in charges]


def _given_back(taken: Taken) -> Taken:
    return taken._replace(amount=-taken.amount)
