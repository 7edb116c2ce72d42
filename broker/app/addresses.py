"""The addresses of a process: its own, or those that the workers of one broker share.

Knows: who binds what. Must not know: what is served there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from broker.config import ServerSettings
from broker.listeners.sockets import BoundSocket


class ListenerSockets(NamedTuple):
    """One for each listener. Workers have no console: their coordinator has."""

    https: BoundSocket
    grpc: BoundSocket
    console: BoundSocket | None


class Addresses(Protocol):
    """Where a process listens."""

    def bind(self) -> ListenerSockets:
        """Raises OSError, naming the address that cannot be had; then none is kept."""


@dataclass(frozen=True, slots=True)
class OwnAddresses:
    """Of a broker that is one process."""

    server: ServerSettings

    def bind(self) -> ListenerSockets:
        """See Addresses."""
        bound: list[BoundSocket] = []
        try:
            for address in (self.server.https, self.server.grpc, self.server.console):
                bound.append(BoundSocket(address))
        except OSError:
            for each in bound:
                each.close()
            raise
        return ListenerSockets(*bound)


@dataclass(frozen=True, slots=True)
class SharedAddresses:
    """Of a worker: the supervisor has bound HTTPS's socket for all workers; gRPC takes none, so each worker
    binds its address again.
    """

    https_file_descriptor: int
    https: str
    grpc: str

    def bind(self) -> ListenerSockets:
        """See Addresses."""
        https = BoundSocket(self.https, inherited=self.https_file_descriptor)
        return ListenerSockets(https, BoundSocket(self.grpc, shared=True), None)
