"""New connections: let in as they speak, bounded by address and in all, each with a deadline.

Knows: sockets and how long a stranger may take. Must not know: TLS's details, HTTP.

A connection that says nothing costs a file descriptor and a timer: TLS begins with its first byte. Where too
many wait, the one that has waited longest goes, never the new one: who speaks at once is let in whatever else
was opened before (RFC 9110 asks no server to keep a silent connection). Handshakes cost more than calls: one
is begun in each turn of the event loop, in turns by address (adr/0079).
"""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

from broker.listeners.fair_queue import FairQueue
from broker.listeners.sockets import BoundSocket

HANDSHAKE_SECONDS = 5.0
WAITING_BY_ADDRESS = 1024
WAITING = 4096
"""Connections that have not finished their handshake, of one address and in all."""
_BACKLOG = 2048
_AT_ONCE = 64
_ENDING_SECONDS = 1.0
_LOOK_SECONDS = 0.01
_SPARE_FILES = 4  # one file descriptor in so many may be a connection that waits


@dataclass(slots=True, eq=False)
class _Stranger:
    """A connection whose handshake has not ended."""

    connection: socket.socket
    address: str
    timer: asyncio.TimerHandle | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class Acceptor:
    """Accepts from one listening socket for one event loop. `new_protocol` makes what serves a connection."""

    def __init__(
        self,
        listener: BoundSocket,
        tls: ssl.SSLContext | None,
        new_protocol: Callable[[], asyncio.Protocol],
    ) -> None:
        self._bound = listener
        self._listener = listener.socket
        self._tls = tls
        self._new_protocol = new_protocol
        self._most = min(WAITING, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // _SPARE_FILES)
        self._strangers: dict[_Stranger, None] = {}
        self._by_address: dict[str, dict[_Stranger, None]] = {}
        self._handshakes: FairQueue[_Stranger] = FairQueue(2 * WAITING)  # of an address half: all that may be
        self._turning = False

    def start(self) -> None:
        """Accepts from now on. Raises OSError."""
        self._loop = asyncio.get_running_loop()
        self._bound.listen(_BACKLOG)
        self._loop.add_reader(self._listener.fileno(), self._accept)

    async def stop(self) -> None:
        """Accepts no more. Who was accepted has a second to end the handshake; then it is closed."""
        self._loop.remove_reader(self._listener.fileno())
        self._bound.close()
        end = self._loop.time() + _ENDING_SECONDS
        while self._strangers and self._loop.time() < end:  # noqa: ASYNC110 - what it waits for sets no event
            await asyncio.sleep(_LOOK_SECONDS)
        for stranger in list(self._strangers):
            self._drop(stranger)

    def _accept(self) -> None:
        """Those that wait in the kernel, a few in each turn of the loop."""
        for _ in range(_AT_ONCE):
            try:
                connection, address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # no file descriptor is left
                self._drop_first(self._strangers)
                return
            self._admit(connection, str(address[0]))

    def _admit(self, connection: socket.socket, address: str) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        others = self._by_address.setdefault(address, {})
        if len(others) >= min(WAITING_BY_ADDRESS, self._most):
            self._drop_first(others)
        if len(self._strangers) >= self._most:
            self._drop_first(self._strangers)
        stranger = _Stranger(connection, address)
        self._strangers[stranger] = None
        self._by_address.setdefault(address, {})[stranger] = None
        if self._tls is None:
            self._begin(stranger)
            return
        stranger.timer = self._loop.call_later(HANDSHAKE_SECONDS, self._drop, stranger)
        self._loop.add_reader(connection.fileno(), self._spoke, stranger)

    def _spoke(self, stranger: _Stranger) -> None:
        self._loop.remove_reader(stranger.connection.fileno())
        self._handshakes.put(stranger.address, stranger)
        if not self._turning:
            self._turn()

    def _turn(self) -> None:
        """A turn of the event loop: one handshake is begun, if one waits."""
        self._turning = False
        while not self._turning:
            stranger = self._handshakes.take(lambda _address: True, newest=False)
            if stranger is None:
                return
            if stranger in self._strangers:
                self._begin(stranger)
                self._turning = True
                self._loop.call_soon(self._turn)

    def _begin(self, stranger: _Stranger) -> None:
        stranger.task = self._loop.create_task(self._connect(stranger))

    async def _connect(self, stranger: _Stranger) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._new_protocol,
                stranger.connection,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE_SECONDS if self._tls is not None else None,
            )
        except OSError:  # it left, or its handshake failed
            stranger.connection.close()
        finally:
            self._forget(stranger)

    def _drop_first(self, strangers: dict[_Stranger, None]) -> None:
        first = next(iter(strangers), None)
        if first is not None:
            self._drop(first)

    def _drop(self, stranger: _Stranger) -> None:
        self._forget(stranger)
        if stranger.task is not None:
            stranger.task.cancel()
        else:
            self._loop.remove_reader(stranger.connection.fileno())
            stranger.connection.close()

    def _forget(self, stranger: _Stranger) -> None:
        if stranger.timer is not None:
            stranger.timer.cancel()
        self._strangers.pop(stranger, None)
        others = self._by_address.get(stranger.address, {})
        others.pop(stranger, None)
        if not others:
            self._by_address.pop(stranger.address, None)
