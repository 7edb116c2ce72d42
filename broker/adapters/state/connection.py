"""One connection to a server of Valkey or Redis.

Knows the client library. Must not know keys, scripts' meaning, where the server is, or who asks.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import cast

from valkey.asyncio.connection import Connection
from valkey.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    ValkeyError,
)

from broker.adapters.state.addresses import Primary
from broker.adapters.state.refusals import StoreAwayError
from broker.adapters.state.scripts import Answer, Command

ANSWER_SECONDS = 1.0
CLOSE_SECONDS = 0.2
FAULTS = (ValkeyError, OSError, TimeoutError)
"""What the library raises where a server is away or refuses."""
_UNREACHED = "the store is not reached"
_TOLD: Mapping[type[Exception], str] = {
    TimeoutError: "does not answer",
    AuthenticationError: "refuses the user or its password",
    NoPermissionError: "does not let its user do what a broker does",
    BusyLoadingError: "is still reading its data",
    ReadOnlyError: "is a replica",
    OutOfMemoryError: "is out of memory",
}


class StoreConnection:
    """One that is open. Used by one task; after an error only `close` is left."""

    def __init__(self, connection: Connection, run_id: str, primary: Primary | None = None) -> None:
        """`run_id` is the server's, `primary` what sentinels say of it."""
        self._connection = connection
        self.primary = primary
        self.incarnation = run_id if primary is None else f"{run_id}-{primary.failover}"
        """Which run of which server this is: another after a restart or failover."""

    async def run(self, commands: Sequence[Command], seconds: float = ANSWER_SECONDS) -> list[Answer]:
        """What it answers to each; all go there at once. Raises StoreAwayError."""
        try:
            async with asyncio.timeout(seconds):
                return await exchanged(self._connection, commands)
        except (ValkeyError, OSError, TimeoutError) as error:
            raise StoreAwayError(said(error)) from error

    async def send(self, commands: Sequence[Command]) -> None:
        """Sends them at once, for `receive` to hear what it answers. Raises StoreAwayError."""
        try:
            await _send(self._connection, commands)
        except (ValkeyError, OSError) as error:
            raise StoreAwayError(said(error)) from error

    async def receive(self) -> Answer:
        """The answer to the next of what was sent. Raises StoreAwayError."""
        try:
            return cast("Answer", await self._connection.read_response())
        except (ValkeyError, OSError) as error:
            raise StoreAwayError(said(error)) from error

    async def forbidden(self, commands: Sequence[Command]) -> list[str]:
        """The names of those that its user may not give there; the others are done. Raises StoreAwayError."""
        names: list[str] = []
        for command in commands:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await exchanged(self._connection, [command])
            except NoPermissionError:
                names.append(str(command[0]))
            except (ValkeyError, OSError, TimeoutError) as error:
                raise StoreAwayError(said(error)) from error
        return names

    async def close(self) -> None:
        """Lets it go; waits for a store that hangs no longer than a moment."""
        with contextlib.suppress(ValkeyError, OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._connection.disconnect()


async def exchanged(connection: Connection, commands: Sequence[Command]) -> list[Answer]:
    """What it answers to each. Raises FAULTS."""
    await _send(connection, commands)
    return [await connection.read_response() for _ in commands]


async def _send(connection: Connection, commands: Sequence[Command]) -> None:
    if not connection.is_connected:
        raise OSError("the connection was lost")  # the library would open another one
    await connection.send_packed_command(b"".join(map(_packed, commands)), check_health=False)


def _packed(command: Command) -> bytes:
    """As RESP. The library's own way takes longer than a short script."""
    parts = [b"*%d\r\n" % len(command)]
    for each in command:
        word = each.encode() if isinstance(each, str) else b"%d" % each
        parts.append(b"$%d\r\n%b\r\n" % (len(word), word))
    return b"".join(parts)


def said(error: Exception) -> str:
    """Without what was sent: an error of the server may quote it; nor where it is: callers hear this."""
    for kind, told in _TOLD.items():
        if isinstance(error, kind):
            return f"the store {told}"
    return "the store refuses what it is asked" if isinstance(error, ResponseError) else _UNREACHED
