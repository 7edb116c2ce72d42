"""Takes RPCs out of gRPC's own queue as they come, several at a time.

Knows: how grpc.aio takes an RPC, inside of it. Must not know: what an RPC does.

Left alone, grpc.aio takes one RPC of a method in about three turns of the event loop. Where more come, they
wait inside of gRPC, in the order of their coming: behind whoever sends most, and where nobody can refuse them
early (adr/0079). It has no setting for that, so its own steps are taken here, more of them side by side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import grpc
import grpc.aio
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # the stubs have only what is public

SIDE_BY_SIDE = 64
"""How many RPCs of a method may be on their way out of gRPC's queue, besides the one of grpc.aio: each takes
some milliseconds, as a thread of gRPC's has its turn in between.
"""


class Accepting:
    """Use: made before the server starts, `start` after it did; it ends with the server."""

    def __init__(
        self, server: grpc.aio.Server, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        """`handlers` by the full names of their methods."""
        self._taking = server._server  # type: ignore[attr-defined]  # noqa: SLF001 - see above
        self._names = tuple(handlers)
        self._resolver = cygrpc._MethodResolver([], dict(handlers))  # noqa: SLF001 - see above
        self._under_way: set[asyncio.Task[None]] = set()
        for service, methods in _by_service(handlers).items():
            server.add_registered_method_handlers(service, methods)

    def start(self) -> None:
        """From now on RPCs are taken as they come."""
        for name in self._names:
            for _ in range(SIDE_BY_SIDE):
                self._keep(self._take(name))

    async def _take(self, name: str) -> None:
        """One after the other, each served by a task of its own, as grpc.aio's own loop does it."""
        loop, method = asyncio.get_running_loop(), name.encode()
        while True:
            try:
                state = await self._taking._request_registered_call(method)  # noqa: SLF001 - see above
            except cygrpc._RequestCallError:  # noqa: SLF001 - the server stops
                return
            rpc = cygrpc._handle_rpc(name, self._resolver, (), state, loop, False)  # noqa: SLF001 - see above
            self._keep(cygrpc._schedule_rpc_coro(rpc, state, loop, name))  # noqa: SLF001 - see above

    def _keep(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)


def _by_service(
    handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]],
) -> dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]]:
    found: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {}
    for name, handler in handlers.items():
        service, _, method = name.removeprefix("/").rpartition("/")
        found.setdefault(service, {})[method] = handler
    return found
