"""The three listeners: their addresses, taken before anything else begins, and what is served there.

Knows: what each listener is given, of the core that they share. Must not know: how any of it is done.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address

from broker.adapters.telemetry import NativeLines, RejectedHandshakes
from broker.app.addresses import Addresses, ListenerSockets
from broker.config import Settings
from broker.console.app import ConsoleApp, Status
from broker.listeners.grpc.dependencies import ListenerDependencies
from broker.listeners.grpc.server import GrpcServer
from broker.listeners.https.app import HttpsApp, HttpsDependencies
from broker.listeners.https.gate import RequestGate
from broker.listeners.https.limits import LimitRoutes
from broker.listeners.https.oauth import OAuth
from broker.listeners.https.server import HttpServer, tls_context
from broker.listeners.tlsfiles import TlsInUse

CLOSE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ServedInterfaces:
    """What is served over HTTPS, over gRPC and on the console."""

    https: HttpsDependencies
    grpc: ListenerDependencies
    status: Status


class Listeners:
    """The addresses are this process's from `bind` to `release`; connections are accepted from `open` to
    `aclose`.
    """

    def __init__(self, settings: Settings, addresses: Addresses, native: NativeLines) -> None:
        self._server = settings.server
        self._addresses = addresses
        self._native = native
        self._bound: ListenerSockets | None = None
        self._stops: list[Callable[[], Coroutine[object, object, None]]] = []

    async def bind(self) -> None:
        """Raises OSError, naming the address that cannot be had."""
        self._bound = https, grpc, console = self._addresses.bind()
        self.https_url = f"https://{https.address}"
        self.grpc_address = grpc.named
        self.console_url = f"http://{console.address}" if console is not None else ""

    async def release(self) -> None:
        """Gives the addresses up."""
        for each in self._bound or ():
            if each is not None:
                each.close()

    async def open(self, served: ServedInterfaces, tls: TlsInUse, rejected: RejectedHandshakes) -> None:
        """Returns once connections are accepted. Raises OSError, and BrokerError where gRPC's is not safe."""
        if self._bound is None:
            raise OSError(errno.ENOTSOCK, "no address was bound")
        over_https, over_grpc, on_console = self._bound
        gate = RequestGate(served.grpc.shedder, served.grpc.read_peer, served.grpc.new_call_id)
        https = HttpServer(HttpsApp(served.https), over_https, tls_context(tls, rejected.of("https")), gate)
        grpc = GrpcServer(served.grpc, tls, over_grpc, reflection=self._server.reflection)
        self._stops = [https.stop, partial(grpc.stop, CLOSE_SECONDS)]
        await grpc.start()
        self._native.follow(rejected.of("grpc"))
        await https.start()
        if on_console is not None:
            console = HttpServer(ConsoleApp(served.status), on_console, None)
            self._stops.append(console.stop)
            await console.start()

    async def aclose(self) -> None:
        """Accepts no more, and lets calls under way end for at most 10 s."""
        ended = await asyncio.gather(*(stop() for stop in self._stops), return_exceptions=True)
        self._native.leave()
        for error in ended:
            if error is not None:
                raise error


def https_dependencies(
    dependencies: ListenerDependencies, jwks: dict[str, object], issuer: str, bound: str
) -> HttpsDependencies:
    """`jwks` are the keys of the tokens of `issuer`, `bound` the URL at which the listener is open."""
    oauth = OAuth(
        dependencies.token_issuer, dependencies.administrator, jwks, issuer, published(bound, issuer)
    )
    return HttpsDependencies(
        calls=dependencies.calls,
        oauth=oauth,
        limits=LimitRoutes(dependencies.own_limits, dependencies.limit_administrator),
        read_peer=dependencies.read_peer,
        unready=dependencies.unready,
        new_call_id=dependencies.new_call_id,
        forwarded=dependencies.forwarded,
    )


def published(bound: str, issuer: str) -> str:
    """Where others reach the HTTPS listener: where it is bound, or the issuer where that is every
    interface.
    """
    host = bound.removeprefix("https://").rpartition(":")[0].strip("[]")
    return issuer.rstrip("/") if ip_address(host).is_unspecified else bound
