"""A real OPA as a process, with the project's policies in a bundle named `broker`; and servers that answer as
OPA never should.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx

from broker.adapters.policyfiles.source import read_policies
from broker.model.decision import PolicyVersion
from tests.ports import free_port
from tests.processes import freeze

POLICIES = Path(__file__).parents[2] / "policies"
ROOT = Path(__file__).parents[2]
START_SECONDS = 20.0


def opa_binary() -> str:
    """The real opa; a test that needs it fails where there is none."""
    found = shutil.which("opa") or str(ROOT / ".tools/bin/opa")
    assert Path(found).exists(), "no opa: run `make servers`"
    return found


async def unheard(_version: PolicyVersion) -> None:
    """Nobody records the versions here."""


def build(policies: Path, target: Path, label: str = "test") -> str:
    """Writes the bundle of `policies` to `target`, whole or not at all; returns its SHA-256."""
    sha256 = read_policies(policies).version.sha256
    scratch = target.with_suffix(".new")
    command = [
        opa_binary(),
        "build",
        "-b",
        str(policies),
        "-r",
        f"{label} sha256:{sha256}",
        "-o",
        str(scratch),
    ]
    subprocess.run(command, check=True, capture_output=True)
    scratch.replace(target)
    return sha256


@dataclass
class RunningOpa:
    """An OPA that can be stopped, continued, killed and started again on the same port."""

    bundle: Path
    files: str
    port: int = field(default_factory=free_port)
    options: tuple[str, ...] = ()
    scheme: str = "http"
    process: subprocess.Popen[bytes] | None = None
    command: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.command:
            self.command = [
                *(
                    opa_binary(),
                    "run",
                    "--server",
                    "--addr",
                    f"127.0.0.1:{self.port}",
                    "--log-level",
                    "error",
                ),
                *("--set", f"services.files.url={self.files}"),
                *("--set", "bundles.broker.service=files"),
                *("--set", f"bundles.broker.resource={self.bundle.name}"),
                *("--set", "bundles.broker.polling.min_delay_seconds=1"),
                *("--set", "bundles.broker.polling.max_delay_seconds=1"),
                *self.options,
            ]

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns once it accepts connections; its bundle may still be on the way."""
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while not self._listens():
            assert time.monotonic() < deadline, "OPA did not start"
            assert self.process.poll() is None, "OPA ended"
            time.sleep(0.05)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        if number is signal.SIGSTOP:
            freeze(self.process.pid)
        else:
            self.process.send_signal(number)

    def loaded(self) -> bool:
        """Whether it says that its bundles are active."""
        try:
            return (
                httpx.get(f"{self.url}/health?bundles", verify=self.scheme == "https").status_code
                == httpx.codes.OK
            )
        except httpx.HTTPError:
            return False

    def await_bundle(self) -> None:
        """Returns once it decides by its bundle."""
        deadline = time.monotonic() + START_SECONDS
        while not self.loaded():
            assert time.monotonic() < deadline, "OPA loaded no bundle"
            time.sleep(0.05)

    def kill(self) -> None:
        """Ends it at once; also a stopped one."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def _listens(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(0.2)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def running_opa(
    directory: Path, *options: str, scheme: str = "http", policies: Path = POLICIES
) -> Iterator[RunningOpa]:
    """OPA with the project's policies, or others; ended afterwards."""
    bundle = directory / "bundle.tar.gz"
    build(policies, bundle)
    with _serving(directory) as files:
        opa = RunningOpa(bundle, files, options=options, scheme=scheme)
        opa.start()
        try:
            yield opa
        finally:
            opa.kill()


class _QuietFiles(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """A test's output is its own."""


@contextmanager
def _serving(directory: Path) -> Iterator[str]:
    """The URL under which OPA fetches its bundle."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_QuietFiles, directory=str(directory)))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@asynccontextmanager
async def answering(raw: bytes | None, *, after: float = 0.0) -> AsyncIterator[str]:
    """The URL of a server that answers every request with these bytes, or never where they are None."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await asyncio.sleep(after)
                if raw is None:
                    await asyncio.sleep(60)
                else:
                    writer.write(raw)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.close()


def http(body: bytes, *, status: str = "200 OK", headers: str = "") -> bytes:
    """A whole HTTP answer."""
    head = (
        f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
    )
    return head.encode() + body
