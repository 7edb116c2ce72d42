"""How a process of a broker runs: from its start to a signal, or to what ends it earlier, to its last step.

Knows: signals, bounds of time. Must not know: what the process serves.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import uvloop

from broker.adapters.process import end_within, harden

STOP_SECONDS = 25.0
"""From the signal, or the log's loss, to the end of the process. The systemd unit waits longer."""
_LOOK_SECONDS = 0.05


class Served(Protocol):
    """What a process serves, from `start` to `stop`."""

    log_lost: asyncio.Event
    """Set when it can serve no more."""

    async def start(self) -> None:
        """Returns once calls are accepted. Raises what the command line knows; then, too, `stop` is due."""

    async def stop(self) -> None:
        """Ends whatever `start` has begun."""

    def unready(self) -> str:
        """What keeps calls from being served, or an empty string."""


_Served = TypeVar("_Served", bound=Served)
Announce = Callable[[_Served], None]


def run(session: Callable[[asyncio.Event], Awaitable[bool]], *, seconds: float | None = None) -> bool:
    """Runs `session` until a signal sets its event, and so many seconds longer at most, or STOP_SECONDS; what
    it returns.
    """
    harden()
    return uvloop.run(_signalled(session, seconds or STOP_SECONDS))


async def live(
    served: _Served,
    stop: asyncio.Event,
    accepting: Announce[_Served],
    ready: Announce[_Served],
    *,
    seconds: float | None = None,
) -> bool:
    """From start to stop. `accepting` is called once it takes connections, `ready` once /readyz says so, too.
    False: the log was lost. A start that fails is undone as every other ends.
    """
    try:
        await served.start()
        accepting(served)
        telling = asyncio.create_task(_tell_ready(served, ready))
        gc.collect()
        gc.set_threshold(20_000, 20, 100)
        gc.freeze()  # what start-up made lives as long as the process: the collector need not walk it
        await _first(stop, served.log_lost)
        telling.cancel()
    finally:
        if not stop.is_set():
            end_within(seconds or STOP_SECONDS)
        await served.stop()
    return not served.log_lost.is_set()  # it may have been lost by what was to be recorded at the end


async def _tell_ready(served: _Served, ready: Announce[_Served]) -> None:
    while served.unready():  # noqa: ASYNC110 - what it waits for sets no event
        await asyncio.sleep(_LOOK_SECONDS)
    ready(served)


async def _signalled(session: Callable[[asyncio.Event], Awaitable[bool]], seconds: float) -> bool:
    stop = asyncio.Event()

    def asked() -> None:
        if not stop.is_set():
            end_within(seconds)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked)
    return await session(stop)


async def _first(stop: asyncio.Event, lost: asyncio.Event) -> None:
    """Returns when the signal came, or the log was lost."""
    waits = [asyncio.create_task(event.wait()) for event in (stop, lost)]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
