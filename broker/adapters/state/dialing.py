"""How a server is come to: its address, TLS, user, and what it must be before it is asked anything.

Knows the client library. Must not know keys, scripts' meaning, or who asks.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from ssl import TLSVersion
from typing import Any, cast

from valkey.asyncio.connection import Connection, SSLConnection
from valkey.exceptions import ReadOnlyError, ResponseError

from broker.adapters.state.addresses import Primary, StoreAddress
from broker.adapters.state.connection import FAULTS, StoreConnection, exchanged, said
from broker.adapters.state.refusals import StoreAwayError
from broker.adapters.state.scripts import Script
from broker.adapters.state.sentinels import Sentinels

DIAL_SECONDS = 1.0


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


class Dialer:
    """Opens connections to one server, or to that which sentinels name."""

    def __init__(
        self,
        address: StoreAddress,
        *,
        database: int = 0,
        login: StoreLogin | None = None,
        tls: StoreTls | None = None,
        sentinels: tuple[StoreAddress, ...] = (),
        sentinels_login: StoreLogin | None = None,
    ) -> None:
        """With `sentinels` the host of the address is the name under which they know the server."""
        self._address = address
        self._database = database
        self._login = login or StoreLogin()
        self._tls = tls
        asking = sentinels_login or StoreLogin()
        self._sentinels = (
            Sentinels(sentinels, address.host, lambda each: self._connection(each, asking, 0))
            if sentinels
            else None
        )

    async def dial(self, scripts: Iterable[Script]) -> StoreConnection:
        """One to a server that knows these scripts. Raises StoreAwayError."""
        primary = await self._sentinels.primary() if self._sentinels is not None else None
        address = primary.address if primary is not None else self._address
        try:
            connection = self._connection(address, self._login, self._database)
            async with asyncio.timeout(DIAL_SECONDS):
                return await _opened(connection, scripts, primary)
        except FAULTS as error:
            raise StoreAwayError(said(error)) from error

    async def watch(self, connection: StoreConnection) -> None:
        """For ever, while the sentinels name the server of this connection. Raises StoreAwayError as soon as
        they name another, or a majority of them was not heard for 3 s.
        """
        if self._sentinels is not None and connection.primary is not None:
            await self._sentinels.watch(connection.primary)
        await asyncio.Event().wait()

    async def aclose(self) -> None:
        """Lets the sentinels go."""
        if self._sentinels is not None:
            await self._sentinels.aclose()

    def _connection(self, address: StoreAddress, login: StoreLogin, database: int) -> Connection:
        given: dict[str, Any] = {
            "host": address.host,
            "port": address.port,
            "db": database,
            "username": login.user,
            "password": _read(login.password_file),
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


async def _opened(
    connection: Connection, scripts: Iterable[Script], primary: Primary | None
) -> StoreConnection:
    try:
        await connection.connect()  # type: ignore[no-untyped-call]
        asked = [("INFO", "server"), ("INFO", "replication"), *(script.load for script in scripts)]
        server, replication, *_ = await exchanged(connection, asked)
        _must_be_primary(replication)
        return StoreConnection(connection, _told(server, "run_id"), primary)
    except BaseException:
        with contextlib.suppress(*FAULTS):
            await connection.disconnect(nowait=True)
        raise


def _must_be_primary(info: object) -> None:
    if _told(info, "role") != "master":
        raise ReadOnlyError("it is a replica")


def _told(info: object, asked: str) -> str:
    for line in cast("bytes", info).decode().splitlines():
        name, _, value = line.partition(":")
        if name == asked:
            return value
    raise ResponseError(f"it does not tell its {asked}")


def _read(path: Path | None) -> str | None:
    return path.read_text().strip() if path is not None else None
