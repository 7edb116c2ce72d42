"""Runs the HTTPS listener: TLS, uvicorn.

Knows: sockets and TLS. Must not know: routes.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from broker.listeners.https.acceptor import Acceptor
from broker.listeners.https.gate import RequestGate
from broker.listeners.https.handshake import Rejected, observe
from broker.listeners.https.protocol import PeerProtocol
from broker.listeners.sockets import BoundSocket
from broker.listeners.tlsfiles import TlsInUse

IDLE_SECONDS = 60
CLOSE_SECONDS = 10


def tls_context(tls: TlsInUse, rejected: Rejected) -> ssl.SSLContext:
    """A context that hands each new connection to the one in use by then: the callback comes with every
    ClientHello, with a server name or without. `rejected` hears why a handshake failed.
    """

    def current(connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _here: ssl.SSLContext) -> None:
        connection.context = tls.material.context

    context = tls.material.context
    context.sni_callback = current
    observe(context, rejected)
    return context


class _Server(uvicorn.Server):
    """Leaves signals to the process's own shutdown."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """An ASGI application on an address; `tls` None means plain HTTP (loopback listeners only). `gate`: where
    requests wait for their turn.
    """

    def __init__(
        self, app: Any, listener: BoundSocket, tls: ssl.SSLContext | None, gate: RequestGate | None = None
    ) -> None:
        config = uvicorn.Config(
            app,
            http=PeerProtocol,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=CLOSE_SECONDS,
            ssl_context_factory=(lambda _config, _default: tls) if tls is not None else None,
        )
        self._server = _Server(config)
        self._gate = gate
        self._acceptor = Acceptor(listener, tls, self._protocol)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns once connections are accepted. Raises OSError with the address where it was lost."""
        self._task = asyncio.create_task(self._server.serve(sockets=[]))
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise RuntimeError("the HTTP server ended before it started")
            await asyncio.sleep(0.005)
        self._acceptor.start()

    def _protocol(self) -> asyncio.Protocol:
        server = self._server
        return PeerProtocol(
            config=server.config, server_state=server.server_state, app_state={}, gate=self._gate
        )

    async def stop(self) -> None:
        """Stops accepting, lets replies under way end for at most 10 s, closes."""
        if self._server.started:
            await self._acceptor.stop()
        self._server.should_exit = True
        if self._task is not None:
            await self._task
