"""Standard health (grpc.health.v1): whether calls can be served.

Knows: the health messages. Must not know: what readiness is made of.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

_WATCH_SECONDS = 1.0


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Answers for the server (service "") and for each service it serves; others are NOT_FOUND.

    `unready` is asked each time: nothing has to remember to tell.
    """

    def __init__(self, services: frozenset[str], unready: Callable[[], str]) -> None:
        self._services = services | {""}
        self._unready = unready

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802 - the RPC's name
        """The state now."""
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, "No such service.")
        return self._now()

    async def List(self, _request: Any, _context: Any) -> Any:  # noqa: N802 - the RPC's name
        """The state of every service now."""
        return health_pb2.HealthListResponse(statuses=dict.fromkeys(self._services, self._now()))

    async def Watch(self, request: Any, _context: Any) -> AsyncIterator[Any]:  # noqa: N802 - the RPC's name
        """The state now, and each change within a second."""
        last = None
        while True:
            known = request.service in self._services
            now = self._now() if known else _response("SERVICE_UNKNOWN")
            if now != last:
                yield now
                last = now
            await asyncio.sleep(_WATCH_SECONDS)

    def _now(self) -> Any:
        return _response("NOT_SERVING" if self._unready() else "SERVING")


def _response(state: str) -> Any:
    return health_pb2.HealthCheckResponse(status=state)
