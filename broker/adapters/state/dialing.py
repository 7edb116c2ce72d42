"""Connections to the store: its address, TLS, user, and what it must be before it is asked anything.

Knows the client library. Must not know keys, scripts' meaning, or who asks.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from ssl import TLSVersion
from typing import Any, cast

from valkey.asyncio.connection import Connection, SSLConnection
from valkey.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    ValkeyError,
)

from broker.adapters.state.refusals import StoreAwayError
from broker.adapters.state.scripts import Answer, Command, Script

DIAL_SECONDS = 1.0
ANSWER_SECONDS = 1.0
CLOSE_SECONDS = 0.2


_UNREACHED = "the store is not reached"
_TOLD: Mapping[type[Exception], str] = {
    TimeoutError: "does not answer",
    AuthenticationError: "refuses the user or its password",
    NoPermissionError: "does not let its user do what a broker does",
    BusyLoadingError: "is still reading its data",
    ReadOnlyError: "is a replica",
    OutOfMemoryError: "is out of memory",
}


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class StoreTls:
    """PEM files: who is trusted, None for public CAs; and what proves who we are, if anything does."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class StoreLogin:
    """Who we are there: a user of its access list, and the file of the password, read at each connection."""

    user: str | None = None
    password_file: Path | None = field(default=None, repr=False)


class StoreConnection:
    """One that is open. Used by one task; after an error only `close` is left."""

    def __init__(self, connection: Connection, incarnation: str) -> None:
        self._connection = connection
        self.incarnation = incarnation
        """Which run of which server this is: another after a restart or failover."""

    async def run(self, commands: Sequence[Command], seconds: float = ANSWER_SECONDS) -> list[Answer]:
        """What it answers to each; all go there at once. Raises StoreAwayError."""
        try:
            async with asyncio.timeout(seconds):
                return await _exchanged(self._connection, commands)
        except (ValkeyError, OSError, TimeoutError) as error:
            raise StoreAwayError(_said(error)) from error

    async def send(self, commands: Sequence[Command]) -> None:
        """Sends them at once, for `receive` to hear what it answers. Raises StoreAwayError."""
        try:
            await _send(self._connection, commands)
        except (ValkeyError, OSError) as error:
            raise StoreAwayError(_said(error)) from error

    async def receive(self) -> Answer:
        """The answer to the next of what was sent. Raises StoreAwayError."""
        try:
            return cast("Answer", await self._connection.read_response())
        except (ValkeyError, OSError) as error:
            raise StoreAwayError(_said(error)) from error

    async def forbidden(self, commands: Sequence[Command]) -> list[str]:
        """The names of those that its user may not give there; the others are done. Raises StoreAwayError."""
        names: list[str] = []
        for command in commands:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await _exchanged(self._connection, [command])
            except NoPermissionError:
                names.append(str(command[0]))
            except (ValkeyError, OSError, TimeoutError) as error:
                raise StoreAwayError(_said(error)) from error
        return names

    async def close(self) -> None:
        """Lets it go; waits for a store that hangs no longer than a moment."""
        with contextlib.suppress(ValkeyError, OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._connection.disconnect()


class Dialer:
    """Opens connections to one server."""

    def __init__(
        self,
        address: StoreAddress,
        *,
        database: int = 0,
        login: StoreLogin | None = None,
        tls: StoreTls | None = None,
    ) -> None:
        self._address = address
        self._database = database
        self._login = login or StoreLogin()
        self._tls = tls

    async def dial(self, scripts: Iterable[Script]) -> StoreConnection:
        """One to a server that knows these scripts. Raises StoreAwayError."""
        try:
            connection = self._connection(self._address)
            async with asyncio.timeout(DIAL_SECONDS):
                return await _opened(connection, scripts)
        except (ValkeyError, OSError, TimeoutError) as error:
            raise StoreAwayError(_said(error)) from error

    def _connection(self, address: StoreAddress) -> Connection:
        given: dict[str, Any] = {
            "host": address.host,
            "port": address.port,
            "db": self._database,
            "username": self._login.user,
            "password": _read(self._login.password_file),
            "socket_timeout": None,
            "socket_connect_timeout": DIAL_SECONDS,
            "lib_name": None,
            "lib_version": None,
        }
        if self._tls is None:
            return Connection(**given)
        files = {"ca_certs": self._tls.ca, "certfile": self._tls.certificate, "keyfile": self._tls.key}
        return SSLConnection(
            ssl_check_hostname=True,
            ssl_min_version=TLSVersion.TLSv1_2,
            **{f"ssl_{name}": str(path) for name, path in files.items() if path is not None},
            **given,
        )


async def _opened(connection: Connection, scripts: Iterable[Script]) -> StoreConnection:
    try:
        await connection.connect()  # type: ignore[no-untyped-call]
        told, *_ = await _exchanged(connection, [("INFO", "server"), *(script.load for script in scripts)])
        return StoreConnection(connection, _run_id(cast("bytes", told)))
    except BaseException:
        with contextlib.suppress(ValkeyError, OSError):
            await connection.disconnect(nowait=True)
        raise


async def _exchanged(connection: Connection, commands: Sequence[Command]) -> list[Answer]:
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


def _run_id(info: bytes) -> str:
    for line in info.decode().splitlines():
        name, _, value = line.partition(":")
        if name == "run_id":
            return value
    raise ResponseError("it does not tell its run id")


def _read(path: Path | None) -> str | None:
    return path.read_text().strip() if path is not None else None


def _said(error: Exception) -> str:
    """Without what was sent: an error of the server may quote it; nor where it is: callers hear this."""
    for kind, told in _TOLD.items():
        if isinstance(error, kind):
            return f"the store {told}"
    return "the store refuses what it is asked" if isinstance(error, ResponseError) else _UNREACHED
