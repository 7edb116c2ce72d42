"""The watch over open streams: expiry, revocation and a change of policy end them within a second.

Knows: which streams are open and when each must be judged again. Must not know: how a judgement is made, or
what a stream carries.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable

from broker.errors import BrokerError
from broker.ports import Clock

TICK_SECONDS = 0.25
_AT_ONCE = 16


class Leash:
    """What holds one open stream: `cut` ends it at once, also while it waits for its upstream.

    `recheck` raises BrokerError where the caller may no longer act; `redecide` where policy, asked again,
    no longer allows the call; `release` says that the stream is over.
    """

    def __init__(
        self,
        recheck: Callable[[], None],
        redecide: Callable[[], Awaitable[None]],
        release: Callable[[Leash], None],
    ) -> None:
        self.recheck = recheck
        self.redecide = redecide
        self._release = release
        self._error: BrokerError | None = None
        self._waiting: asyncio.Timeout | None = None

    def cut(self, error: BrokerError) -> None:
        """Ends the stream with `error`; the first one counts."""
        if self._error is None:
            self._error = error
            if self._waiting is not None:
                self._waiting.reschedule(asyncio.get_running_loop().time())

    def release(self) -> None:
        """The stream is over: nobody watches it any more. Twice does nothing."""
        self._release(self)

    async def next(self, events: AsyncIterator[bytes]) -> bytes | None:
        """The next event, or None after the last. Raises the error of `cut`, as soon as it is cut."""
        self.recheck()
        try:
            async with asyncio.timeout(None) as self._waiting:
                if self._error is not None:
                    raise self._error
                return await anext(events, None)
        except TimeoutError:
            if self._error is None:
                raise
            raise self._error from None
        finally:
            self._waiting = None


class Vigil:
    """Rechecks every open stream each quarter of a second, and has it decided again when `circumstances`
    (the policy version, the minute) differ from those it was last decided under. Use it from one event loop.
    """

    def __init__(self, clock: Clock, circumstances: Callable[[], Hashable]) -> None:
        self._clock = clock
        self._circumstances = circumstances
        self._open: dict[Leash, Hashable] = {}

    def leash(self, recheck: Callable[[], None], redecide: Callable[[], Awaitable[None]]) -> Leash:
        """The leash of a stream that has just been decided; it is watched until it is released."""
        leash = Leash(recheck, redecide, self._forget)
        self._open[leash] = self._circumstances()
        return leash

    def _forget(self, leash: Leash) -> None:
        self._open.pop(leash, None)

    async def run(self) -> None:
        """Watches until it is cancelled."""
        while True:
            await self._clock.sleep(TICK_SECONDS)
            await self.tick()

    async def tick(self) -> None:
        """One round over all open streams."""
        now = self._circumstances()
        stale = [leash for leash, decided in self._open.items() if _alive(leash) and decided != now]
        for start in range(0, len(stale), _AT_ONCE):
            await asyncio.gather(*(self._redecide(leash, now) for leash in stale[start : start + _AT_ONCE]))
            await asyncio.sleep(0)  # the engine may never wait: calls go on between two groups

    async def _redecide(self, leash: Leash, now: Hashable) -> None:
        try:
            await leash.redecide()
        except BrokerError as error:
            leash.cut(error)
        else:
            if leash in self._open:
                self._open[leash] = now


def _alive(leash: Leash) -> bool:
    """Whether the caller may still act; a leash that says no is cut."""
    try:
        leash.recheck()
    except BrokerError as error:
        leash.cut(error)
        return False
    return True
