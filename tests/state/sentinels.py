"""Three real servers of one store, and three sentinels that watch them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from valkey import Valkey
from valkey.exceptions import ValkeyError

from broker.adapters.state.addresses import StoreAddress
from broker.adapters.state.dialing import Dialer, StoreLogin, StoreTls
from tests.ports import free_port
from tests.state.server import ROOT_PASSWORD, USER, RealStore, over_tls, store_binary

SERVICE, PASSWORD, QUORUM = "limits", "of-the-sentinels", 2


@dataclass(frozen=True)
class WatchedStore:
    """`servers`, the first of which is in charge until it is failed over."""

    servers: list[RealStore]
    ports: list[int]
    password_file: Path

    @property
    def dialer(self) -> Dialer:
        """As a broker connects."""
        first = self.servers[0]
        return Dialer(
            StoreAddress(SERVICE, 0),
            login=StoreLogin(USER, first.password_file),
            tls=StoreTls(first.ca),
            sentinels=tuple(StoreAddress("127.0.0.1", port) for port in self.ports),
            sentinels_login=StoreLogin(None, self.password_file),
        )

    def primary(self) -> int:
        """The port of the server that the first sentinel says is in charge."""
        return int(self._told()["port"])

    def await_all(self) -> None:
        """Each sentinel knows the others, and both replicas, of which each has all data."""
        deadline = time.monotonic() + 60
        while not self._complete():
            assert time.monotonic() < deadline, "the sentinels did not find each other"
            time.sleep(0.1)

    def _complete(self) -> bool:
        with suppress(ValkeyError, OSError):  # it does not listen yet
            told = self._told()
            found = (told["num-slaves"], told["num-other-sentinels"]) == ("2", "2")
            return found and all(_is_synced(each) for each in self.servers[1:])
        return False

    def _told(self) -> dict[str, str]:
        with Valkey(
            host="127.0.0.1",
            port=self.ports[0],
            password=PASSWORD,
            ssl=True,
            ssl_ca_certs=str(self.servers[0].ca),
            decode_responses=True,
        ) as sentinel:
            told = sentinel.execute_command("SENTINEL MASTER", SERVICE)
        return {str(name): str(value) for name, value in told.items()}


def _is_synced(server: RealStore) -> bool:
    with server.operator() as operator:
        return bool(operator.info("replication").get("master_link_status") == "up")


@contextmanager
def watched_store(home: Path) -> Iterator[WatchedStore]:
    """All of them run; ended afterwards."""
    by = ("--masteruser", "default", "--masterauth", ROOT_PASSWORD)
    with ExitStack() as ends:
        servers: list[RealStore] = []
        for number in range(3):
            of = ("--replicaof", "127.0.0.1", str(servers[0].port)) if servers else ()
            servers.append(RealStore(home / f"server-{number}", (*by, *of), home / "pki"))
            ends.callback(servers[-1].stop)
        password_file = home / "sentinel-password"
        password_file.write_text(PASSWORD)
        ports = [_sentinel(home / f"sentinel-{number}", servers[0], ends) for number in range(3)]
        store = WatchedStore(servers, ports, password_file)
        store.await_all()
        yield store


def _sentinel(folder: Path, primary: RealStore, ends: ExitStack) -> int:
    """One that runs, by its port."""
    folder.mkdir()
    port = free_port()
    lines = [f"{name} {value}" for name, value in over_tls(primary.pki, port).items()]
    lines += [
        f"dir {folder}",
        f"requirepass {PASSWORD}",
        f"sentinel sentinel-pass {PASSWORD}",
        f"sentinel monitor {SERVICE} 127.0.0.1 {primary.port} {QUORUM}",
        f"sentinel auth-user {SERVICE} default",
        f"sentinel auth-pass {SERVICE} {ROOT_PASSWORD}",
        f"sentinel down-after-milliseconds {SERVICE} 1000",
        f"sentinel failover-timeout {SERVICE} 6000",
    ]
    (folder / "sentinel.conf").write_text("\n".join(lines) + "\n")
    with (folder / "sentinel.log").open("ab") as log:
        process = subprocess.Popen(
            [store_binary(), str(folder / "sentinel.conf"), "--sentinel"], stdout=log, stderr=log
        )
    ends.callback(process.wait)
    ends.callback(process.terminate)
    return port
