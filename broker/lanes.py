"""Where large inputs are worked on: one thread beside the event loop, shared in turns by the subjects.

Knows: whose work waits, whose turn it is, and that work comes in steps. Must not know: what the work is.

One thread, not several: Python's lock lets only one run at a time, and each further one that wants it makes
the event loop wait longer for its turn. A turn lasts TURN_SECONDS and one step at most, then another subject
has its own; what nobody waits for any more is dropped between two steps (ADR 24).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, NamedTuple, TypeVar

Result = TypeVar("Result")
Steps = Generator[None, None, Result]
"""Work that pauses after each step, and returns its result."""

LARGE_BYTES = 16 * 1024
"""What is larger is worked on beside the event loop: no step of the path takes 50 ms for less."""
TURN_SECONDS = 0.01
LOOP_SECONDS = 0.002
"""How long one task may keep the event loop without a pause while it has work that never waits."""


def at_once(work: Callable[[], Result]) -> Steps[Result]:
    """Work that has one step."""
    yield
    return work()


def finished(steps: Steps[Result]) -> Result:
    """The result of all steps, taken here and now."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result


@dataclass(slots=True, eq=False)
class _Job(Generic[Result]):
    """Work under way. Its steps are taken in the thread, all else is the event loop's."""

    steps: Steps[Result]
    now: Callable[[], float]
    done: asyncio.Future[Result]
    result: list[Result] = field(default_factory=list)

    def advance(self) -> bool:
        """Takes steps for one turn; whether it has come to its end. Raises what the work raises."""
        until = self.now() + TURN_SECONDS
        while self.now() < until:
            try:
                next(self.steps)
            except StopIteration as end:
                self.result.append(end.value)
                return True
        return False


class Lanes:
    """Takes work of many subjects, for one event loop; a subject's own work is done in its order."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lanes")
        self._queues: dict[str, deque[_Job[object]]] = {}
        self._serving: asyncio.Task[None] | None = None

    async def run(self, subject: str, steps: Steps[Result]) -> Result:
        """The result of the work, once it is its turn. Raises what it raises. Who is cancelled here is waited
        for no more: the rest of its steps are never taken.
        """
        loop = asyncio.get_running_loop()
        job = _Job(steps, loop.time, loop.create_future())
        self._queues.setdefault(subject, deque()).append(job)
        if self._serving is None or self._serving.done():
            self._serving = loop.create_task(self._serve())
        result: Result = await job.done
        return result

    async def _serve(self) -> None:
        """One turn for each subject that waits, and again, until none does."""
        while self._queues:
            for subject, queue in list(self._queues.items()):
                if await self._ended(queue[0]):
                    queue.popleft()
                if not queue:
                    del self._queues[subject]

    async def _ended(self, job: _Job[object]) -> bool:
        thread = partial(asyncio.get_running_loop().run_in_executor, self._thread)
        if job.done.done():  # nobody waits for it: what it holds may take long to let go of
            await thread(job.steps.close)
            return True
        try:
            if not await thread(job.advance):
                return False
        except Exception as error:  # noqa: BLE001 - it belongs to who waits for the work, whatever it is
            if not job.done.done():
                job.done.set_exception(error)
        if job.result and not job.done.done():
            job.done.set_result(job.result[0])
        return True


class Lane(NamedTuple):
    """One subject's way to have work done: here where it is small, beside the loop where it is large."""

    lanes: Lanes
    subject: str

    async def run(self, size: int, steps: Steps[Result]) -> Result:
        """The result of the work on an input of `size` bytes. Raises what the work raises."""
        if size <= LARGE_BYTES:
            return finished(steps)
        return await self.lanes.run(self.subject, steps)

    async def once(self, size: int, work: Callable[[], Result]) -> Result:
        """The same for work that has one step."""
        return work() if size <= LARGE_BYTES else await self.lanes.run(self.subject, at_once(work))


class Breath:
    """Lets others have the event loop once a task has kept it LOOP_SECONDS without waiting for anything."""

    def __init__(self) -> None:
        self._now = asyncio.get_running_loop().time
        self._since = self._now()

    def rested(self) -> None:
        """The task has just waited for something by itself."""
        self._since = self._now()

    async def taken(self) -> None:
        """Ask between two pieces of work between which nothing was waited for."""
        if self._now() - self._since > LOOP_SECONDS:
            await asyncio.sleep(0)
            self.rested()
