"""Runs the HTTPS listener: TLS, uvicorn.

Knows: sockets and TLS. Must not know: routes.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from broker.listeners.https.acceptor import Acceptor
from broker.listeners.https.handshake import Rejected, observe
from broker.listeners.https.protocol import PeerProtocol
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
    """An ASGI application on a listening socket; `tls` None means plain HTTP (loopback listeners only)."""

    def __init__(self, app: Any, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
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
        self._acceptor = Acceptor(listener, tls, self._protocol)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns once connections are accepted."""
        self._task = asyncio.create_task(self._server.serve(sockets=[]))
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise RuntimeError("the HTTP server ended before it started")
            await asyncio.sleep(0.005)
        self._acceptor.start()

    def _protocol(self) -> asyncio.Protocol:
        return PeerProtocol(config=self._server.config, server_state=self._server.server_state, app_state={})

    async def stop(self) -> None:
        """Stops accepting, lets replies under way end for at most 10 s, closes."""
        if self._server.started:
            self._acceptor.stop()
        self._server.should_exit = True
        if self._task is not None:
            await self._task


def bind(address: str) -> socket.socket:
    """A listening TCP socket on `host:port`; port 0 picks a free one. Raises OSError with the address."""
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host.strip("[]"), int(port)))
    except OSError as error:
        listener.close()
        raise OSError(error.errno, error.strerror, address) from None
    except (ValueError, OverflowError):
        listener.close()
        raise OSError(errno.EINVAL, "not an address host:port", address) from None
    listener.setblocking(False)
    return listener


def address_of(listener: socket.socket) -> str:
    """`host:port` of a bound socket."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
