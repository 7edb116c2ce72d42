"""Serves the simulated OpenAI over HTTP on loopback, on the loop that runs.

Knows: uvicorn's protocol. Must not know: OpenAI. It leaves signal handlers and logging to the process.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from types import TracebackType
from typing import cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from broker.simulator.app import SimulatedOpenAI
from broker.simulator.composition import count_tokens
from broker.simulator.federation import Provider
from broker.simulator.organization import Organization
from broker.simulator.request_log import Received

SIMULATED_KEY = "sk-simulated-0000000000000000000000000000wxyz"
"""Opens the simulator where no other key was configured; worth nothing anywhere else."""
_BACKLOG = 2048
_KEEP_ALIVE_SECONDS = 120


class _Protocol(HttpToolsProtocol):
    """Gives the application its transport, so that it can end a connection in the middle of a reply."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self.app_state = {"connection": transport}


class Simulator:
    """A simulated OpenAI while the context is open; `url` has no path and no slash at its end.

    `keys` are those it accepts besides the organization's, and `providers` those whose tokens it exchanges.
    With `tls` it speaks HTTPS. Raises OSError where the port is taken. On leaving, open replies are cut.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        keys: Sequence[str] = (SIMULATED_KEY,),
        organization: Organization | None = None,
        providers: Sequence[Provider] = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.key = keys[0] if keys else ""
        self.organization = organization or Organization()
        self._host = host
        self._port = port
        self._tls = tls
        self._app = SimulatedOpenAI(keys, self.organization, providers)
        self._state = ServerState()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http{'s' if self._tls else ''}://{self._host}:{self._port}"

    @property
    def received(self) -> list[Received]:
        """Every call of `/v1` so far, refused ones too, oldest first (the last 200,000 are kept). Requests to
        the admin API and the token endpoint are in `organization.request_log` instead.
        """
        return self._app.request_log.entries

    @property
    def count(self) -> int:
        """How many those were in all."""
        return self._app.request_log.count

    @property
    def open_replies(self) -> int:
        """Replies under way: streams that neither ended nor were abandoned by the caller."""
        return self._app.open_replies

    def trouble(self, last4: str, overrides: str) -> None:
        """Every request with the key of these last four characters has these overrides from now on."""
        self._app.trouble(last4, overrides)

    def reset(self) -> None:
        """Forgets what was received, what was stored, every attempt and every key's overrides."""
        self._app.reset()

    async def __aenter__(self) -> Simulator:
        loop = asyncio.get_running_loop()
        count_tokens("loads the vocabulary before the first request waits for it", "gpt-4o")
        config = uvicorn.Config(
            self._app,
            lifespan="off",
            ws="none",
            log_config=None,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        )
        config.load()
        self._server = await loop.create_server(
            lambda: _Protocol(config, self._state, {}, loop),
            self._host,
            self._port,
            backlog=_BACKLOG,
            ssl=self._tls,
        )
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._state.connections):
            connection.transport.abort()
        tasks = list(self._state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()
