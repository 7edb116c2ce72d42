"""The watch over open streams: expiry, revocation and a change of policy end them within a second.

Knows: which streams are open and when each must be judged again. Must not know: how a judgement is made, or
what a stream carries.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Hashable
from types import TracebackType
from typing import Any, cast

from broker.errors import BrokerError, Kind
from broker.model.call import EventBatch
from broker.ports import Clock

TICK_SECONDS = 0.25
_AT_ONCE = 16


class StreamHandle:
    """What holds one open stream: `cut` ends it at once, also while it waits for its upstream.

    `recheck` raises BrokerError where the caller may no longer act; `redecide` where policy, asked again,
    no longer allows the call; `release` says that the stream is over.
    """

    def __init__(
        self,
        recheck: Callable[[], None],
        redecide: Callable[[], Awaitable[None]],
        release: Callable[[StreamHandle], None],
    ) -> None:
        self.recheck = recheck
        self.redecide = redecide
        self._release = release
        self._error: BrokerError | None = None
        self.gone = Kind.CALLER_GONE
        """What the stream's record says where it ends early and nobody cut it."""
        self.waited = False
        """Whether the last events had to be waited for: others had the event loop meanwhile."""
        self._waiting: _Begun | None = None

    def cut(self, error: BrokerError) -> None:
        """Ends the stream with `error`; the first one counts."""
        if self._error is None:
            self._error = error
            self.gone = error.kind
            if self._waiting is not None:
                self._waiting.interrupt()

    def release(self) -> None:
        """The stream is over: nobody watches it any more. Twice does nothing."""
        self._release(self)

    async def next(self, batches: AsyncIterator[EventBatch]) -> EventBatch | None:
        """The next events, or None after the last. Raises the error of `cut`, as soon as it is cut."""
        self.recheck()
        self._go_on()
        self.waited = False
        step = batches.__anext__().__await__()
        try:
            waits = next(step)
        except StopIteration as come:  # it was there: nothing waits, so nothing has to be cut
            batch: EventBatch = come.value
            return batch
        except StopAsyncIteration:
            return None
        self.waited = True
        self._waiting = waiting = _Begun(step, waits)
        try:
            batch = await waiting
        except StopAsyncIteration:
            return None
        except asyncio.CancelledError:
            if not waiting.interrupted or _leaves():
                raise
        finally:
            self._waiting = None
        self._go_on()
        return batch

    def _go_on(self) -> None:
        if self._error is not None:
            raise self._error from None


def _leaves() -> bool:
    """Whether this task is cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class _Begun:
    """An awaitable whose first step was taken, and now `waits` for what that gave the event loop. It can be
    interrupted without a timer, or anything else that each event would pay for.
    """

    __slots__ = ("_first", "_step", "_waits", "interrupted")

    def __init__(self, step: Generator[Any, Any, EventBatch], waits: object) -> None:
        self._step = step
        self._waits = waits
        self._first = True
        self.interrupted = False

    def interrupt(self) -> None:
        """It raises CancelledError, as soon as it can, though nobody cancels the task."""
        self.interrupted = True
        if isinstance(self._waits, asyncio.Future):
            self._waits.cancel()

    def __await__(self) -> Generator[Any, Any, EventBatch]:
        return cast("Generator[Any, Any, EventBatch]", self)

    __iter__ = __await__

    def __next__(self) -> object:
        if self._first:
            self._first = False
            return self._waits
        return self.send(None)

    def send(self, value: object) -> object:
        if self.interrupted:  # what it waited for has come at that moment
            self._waits = self._step.throw(asyncio.CancelledError())
        else:
            self._waits = self._step.send(value)
        return self._waits

    def throw(self, *error: Any) -> object:
        self._waits = self._step.throw(*error)
        return self._waits

    def close(self) -> None:
        self._step.close()


class StoppableTask:
    """A context that one task may enter several times: see `StreamSupervisor.held`."""

    __slots__ = ("_supervisor", "_task")

    def __init__(self, supervisor: StreamSupervisor, task: asyncio.Task[Any]) -> None:
        self._supervisor = supervisor
        self._task = task

    def __enter__(self) -> None:
        self._supervisor.hold(self._task)

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None
    ) -> None:
        if self._supervisor.let_go(self._task) and kind is asyncio.CancelledError:
            self._task.uncancel()
            raise shutting_down() from None


class StreamSupervisor:
    """Rechecks every open stream each quarter of a second, and has it decided again when `circumstances`
    (the policy version, the minute) differ from those it was last decided under. Use it from one event loop.
    """

    def __init__(self, clock: Clock, circumstances: Callable[[], Hashable]) -> None:
        self._clock = clock
        self._circumstances = circumstances
        self._open: dict[StreamHandle, Hashable] = {}
        self._running: set[asyncio.Task[Any]] = set()
        self._stopped: set[asyncio.Task[Any]] = set()
        self.ended = False
        """Whether the broker stops."""

    def handle(self, recheck: Callable[[], None], redecide: Callable[[], Awaitable[None]]) -> StreamHandle:
        """The handle of a stream that has just been decided; it is watched until it is released."""
        handle = StreamHandle(recheck, redecide, self._forget)
        self._open[handle] = self._circumstances()
        if self.ended:
            handle.cut(shutting_down())
        return handle

    def held(self) -> StoppableTask:
        """Around what this task does of a call that is no stream yet: where the broker stops it, it raises
        SHUTTING_DOWN.
        """
        task = asyncio.current_task()
        assert task is not None, "a call runs in a task"  # noqa: S101 - what asyncio guarantees
        return StoppableTask(self, task)

    def hold(self, task: asyncio.Task[Any]) -> None:
        """The task may be stopped."""
        self._running.add(task)

    def let_go(self, task: asyncio.Task[Any]) -> bool:
        """The task may not be stopped any more; whether it was."""
        self._running.discard(task)
        stopped = self.ended and task in self._stopped
        self._stopped.discard(task)
        return stopped

    def end(self) -> None:
        """The broker stops: every call that is still under way ends with SHUTTING_DOWN."""
        self.ended = True
        for handle in tuple(self._open):
            handle.cut(shutting_down())
        self._stopped = set(self._running)
        for task in self._stopped:
            task.cancel()

    def _forget(self, handle: StreamHandle) -> None:
        self._open.pop(handle, None)

    async def run(self) -> None:
        """Watches until it is cancelled."""
        while True:
            await self._clock.sleep(TICK_SECONDS)
            await self.tick()

    async def tick(self) -> None:
        """One round over all open streams."""
        now = self._circumstances()
        stale = [handle for handle, decided in self._open.items() if _alive(handle) and decided != now]
        for start in range(0, len(stale), _AT_ONCE):
            await asyncio.gather(*(self._redecide(handle, now) for handle in stale[start : start + _AT_ONCE]))
            await asyncio.sleep(0)  # the engine may never wait: calls go on between two groups

    async def _redecide(self, handle: StreamHandle, now: Hashable) -> None:
        try:
            await handle.redecide()
        except BrokerError as error:
            handle.cut(error)
        else:
            if handle in self._open:
                self._open[handle] = now


def shutting_down() -> BrokerError:
    """What a call is told that the broker's end cut."""
    return BrokerError(
        Kind.SHUTTING_DOWN,
        "The broker stops, and this call was not finished.",
        remedy="Send it again, to a broker that runs; upstream may have acted on it.",
        retry_after=5,
    )


def _alive(handle: StreamHandle) -> bool:
    """Whether the caller may still act; a handle that says no is cut."""
    try:
        handle.recheck()
    except BrokerError as error:
        handle.cut(error)
        return False
    return True
