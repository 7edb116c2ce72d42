"""A real Valkey or Redis on loopback, for tests: TLS, a user of its access list, every write synced; ended by
its pid.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from valkey import Valkey
from valkey.exceptions import ValkeyError

from broker.adapters.pki import DevPki
from broker.adapters.state.addresses import StoreAddress
from broker.adapters.state.dialing import Dialer, StoreLogin, StoreTls
from tests.ports import free_port
from tests.processes import freeze

ROOT = Path(__file__).parents[2]
START_SECONDS = 20
USER, PASSWORD, ROOT_PASSWORD = "broker", "correct-horse-battery", "staple-of-the-operator"


def store_binary() -> str:
    """`valkey-server` or `redis-server` of PATH, or the one that `make servers` put there."""
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    linked = ROOT / ".tools/bin/redis-server"
    assert linked.exists(), "no Valkey and no Redis here: make servers"
    return str(linked)


def over_tls(pki: DevPki, port: int) -> dict[str, str]:
    """Settings of a server or a sentinel that listens there."""
    own = pki.server()
    return {
        "port": "0",
        "tls-port": str(port),
        "bind": "127.0.0.1",
        "tls-cert-file": str(own.cert),
        "tls-key-file": str(own.key),
        "tls-ca-cert-file": str(pki.ca),
        "tls-auth-clients": "no",
        "tls-replication": "yes",
    }


@dataclass
class RealStore:
    """One server process, and what only its operator can do."""

    directory: Path
    settings: tuple[str, ...] = ()
    authority: Path | None = None
    """The folder of the CA, where several servers have one."""
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.directory.mkdir(exist_ok=True)
        self.pki = DevPki.load_or_create(self.authority or self.directory / "pki")
        self.port = free_port()
        self.password_file = self.directory / "password"
        self.password_file.write_text(PASSWORD)
        self.password_file.chmod(0o600)
        users = (ROOT / "deploy/valkey/users.acl").read_text()
        users = users.replace("PASSWORD", PASSWORD).replace("DEPLOYMENT", "*")
        acl = self.directory / "users.acl"
        acl.write_text(f"user default on >{ROOT_PASSWORD} ~* &* +@all\n{users}")
        self.start()

    @property
    def url(self) -> str:
        return f"valkeys://{USER}@127.0.0.1:{self.port}/0"

    @property
    def ca(self) -> Path:
        return self.pki.ca

    @property
    def dialer(self) -> Dialer:
        """As a broker connects."""
        return Dialer(
            StoreAddress("127.0.0.1", self.port),
            login=StoreLogin(USER, self.password_file),
            tls=StoreTls(self.ca),
        )

    def start(self) -> None:
        with (self.directory / "server.log").open("ab") as log:
            self.process = subprocess.Popen([store_binary(), *self._arguments()], stdout=log, stderr=log)
        self._await()

    def stop(self) -> None:
        self.thaw()
        self.kill()

    def kill(self) -> None:
        """As a crash does."""
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        freeze(self.process.pid)

    def thaw(self) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)

    def operator(self) -> Valkey:
        """A connection that may do anything."""
        return Valkey(
            host="127.0.0.1",
            port=self.port,
            password=ROOT_PASSWORD,
            ssl=True,
            ssl_ca_certs=str(self.ca),
            ssl_check_hostname=True,
            decode_responses=True,
        )

    def _arguments(self) -> list[str]:
        given = {
            **over_tls(self.pki, self.port),
            "aclfile": str(self.directory / "users.acl"),
            "dir": str(self.directory),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
        }
        return [word for name, value in given.items() for word in (f"--{name}", value)] + list(self.settings)

    def _await(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self.process.poll() is None, (self.directory / "server.log").read_text()[-2000:]
            assert time.monotonic() < deadline, "the store did not start"
            time.sleep(0.02)

    def _answers(self) -> bool:
        with suppress(ValkeyError, OSError), self.operator() as operator:
            return bool(operator.ping())
        return False
