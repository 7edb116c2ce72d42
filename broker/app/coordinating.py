"""What a supervisor asks of its coordinator, from its side.

Knows: the order of a coordinator's life. Must not know: what it does for workers.
"""

from __future__ import annotations

import asyncio
from socket import socket

from broker.adapters.coordination import Channel, Members
from broker.adapters.telemetry import configure_log
from broker.app.coordinator import Coordinator
from broker.config import Settings
from broker.errors import BrokerError, ConfigError, Kind
from broker.listeners.sockets import BoundSocket


async def coordinate(control: socket, admissions: socket, console: BoundSocket) -> bool:
    """Until the supervisor has it closed, or is gone: then workers are told to end first. False: the log was
    lost.
    """
    led = _Led(admissions, console)
    await led.channel.open(control)
    await led.over.wait()
    coordinator = led.coordinator
    if coordinator is None:
        return True
    await coordinator.stop()
    await led.channel.aclose()
    return not coordinator.log_lost.is_set()


class _Led:
    """A coordinator, and the channel to who leads it."""

    def __init__(self, admissions: socket, console: BoundSocket) -> None:
        self.channel = Channel(self._answer, self._hear)
        self.coordinator: Coordinator | None = None
        self.over = asyncio.Event()
        self._admissions = admissions
        self._console = console
        self._closing: asyncio.Task[None] | None = None

    async def _answer(self, what: str, members: Members) -> Members:
        if what == "open":
            return await self._open(Settings.model_validate(members["settings"]))
        if what == "state" and self.coordinator is not None:
            return self.coordinator.state()
        raise BrokerError(Kind.INTERNAL, "The coordinator was asked what it does not know.")

    async def _open(self, settings: Settings) -> Members:
        configure_log(settings.log.level, settings.log.format)
        self.channel.ended.add_done_callback(lambda _future: self._end())
        coordinator = self.coordinator = Coordinator(settings, self._admissions, self._console, self.channel)
        try:
            await coordinator.start()
        except ConfigError as error:
            return {"config_error": str(error)}
        except OSError as error:
            return {"os_error": [error.errno, error.strerror, error.filename]}
        asyncio.ensure_future(coordinator.log_lost.wait()).add_done_callback(lambda _done: self.over.set())
        return {"vkey": coordinator.log_vkey}

    def _hear(self, what: str, _members: Members) -> None:
        if what == "close":
            self.over.set()

    def _end(self) -> None:
        """The supervisor is gone."""
        self._closing = asyncio.ensure_future(self._leave())

    async def _leave(self) -> None:
        if self.coordinator is not None:
            await self.coordinator.drain()
        self.over.set()
