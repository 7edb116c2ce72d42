"""A real `broker dev` process, for tests, the demo and the bench: started, awaited, ended by its pid."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx

from tests.nursery import Born, the_nursery
from tests.transfers import Transfers

START_SECONDS = 60
STOP_SECONDS = 20
PROGRAM = ("-m", "broker.cli.main")
"""For starts that are to be as an operator's in all; others are born where all is loaded."""
SMALL_POLICIES = ("--policies", str(Path(__file__).with_name("small_policies")))
"""For `broker dev` where nothing is asked about policies: to try and load the project's takes longer than
the rest of a start.
"""
_PATIENT = {  # many tests share a broker, and few certificates are refused thousands of times
    "BROKER__AUDIT__REFUSALS_RECORDED": "1000000",
    "BROKER__LIMITS__REFUSALS_BURST": "1000000",
}


WORKERS = int(os.environ.get("BROKER_TEST_WORKERS", "1"))
"""Any test of a running broker may be run on one of several processes: BROKER_TEST_WORKERS=2."""


@dataclass(frozen=True)
class Identity:
    """One development identity: its SPIFFE ID and its PEM files."""

    spiffe_id: str
    cert: Path
    key: Path


@dataclass
class RunningBroker:
    """A started `broker dev` and what its dev.json says."""

    process: subprocess.Popen[str] | Born
    directory: Path
    https: str
    grpc: str
    console: str
    ca: Path
    identities: dict[str, Identity]
    log: Path
    policies: Path
    upstream: str

    @property
    def errors(self) -> Path:
        """What the process has written on standard error."""
        return self.directory.with_name(f"{self.directory.name}.err")

    _tokens: dict[tuple[str, str], str] = field(default_factory=dict)

    def tls(self, identity: str | None) -> ssl.SSLContext:
        """A client context that trusts the development CA and presents this identity, if any."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if identity is not None:
            who = self.identities[identity]
            context.load_cert_chain(who.cert, who.key)
        return context

    def http(self, identity: str | None, **options: object) -> httpx.Client:
        """An HTTP client at the broker's listener, as this identity."""
        transport = Transfers(self.tls(identity))
        return httpx.Client(base_url=self.https, transport=transport, timeout=30, **options)  # type: ignore[arg-type]

    def ask_token(self, identity: str, scope: str = "", **fields: str) -> httpx.Response:
        """POST /oauth/token as this identity."""
        with self.http(identity) as client:
            form = {"grant_type": "client_credentials", "scope": scope, **fields}
            return client.post("/oauth/token", data=form)

    def token(self, identity: str, scope: str = "") -> str:
        """A token for this identity, asked for once."""
        known = self._tokens.get((identity, scope))
        if known is None:
            reply = self.ask_token(identity, scope, ttl="3600")
            reply.raise_for_status()
            known = self._tokens[(identity, scope)] = reply.json()["access_token"]
        return known

    def kill(self) -> None:
        """SIGKILL: the process gets no chance to say anything."""
        self.process.kill()
        self._ended()

    def kill_all(self) -> None:
        """SIGKILL for what it has started, too, at the same moment."""
        with suppress(ProcessLookupError):  # none is left
            os.killpg(self.process.pid, signal.SIGKILL)
        self._ended()

    def stop(self) -> None:
        """SIGTERM, and the wait for a clean end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self._ended()

    def _ended(self) -> None:
        self.process.wait(STOP_SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()


def start_broker(
    directory: Path,
    *arguments: str,
    until: str = "ready",
    program: tuple[str, ...] | None = None,
    first: str = "",
    workers: int = WORKERS,
) -> RunningBroker:
    """Starts `broker dev` on free ports in `directory`; returns once it accepts calls, or says something else
    that begins with `until`. What it writes on standard error is appended to `<directory>.err`. `program`:
    what a Python of its own runs, else it is born in the nursery; `first`: what it runs there before.
    """
    free = ("--https", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--console", "127.0.0.1:0")
    many = ("--workers", str(workers)) if workers != 1 else ()
    words = ("dev", "--dir", str(directory), *free, *many, *arguments)
    announcement = directory / "dev.json"
    announcement.unlink(missing_ok=True)
    errors = directory.with_name(f"{directory.name}.err")
    with errors.open("a") as stderr:
        process = start(words, stderr, program, first, **_PATIENT)
    assert process.stdout is not None
    patience = threading.Timer(START_SECONDS, process.kill)
    patience.start()
    for line in process.stdout:
        if line.startswith(until):
            patience.cancel()
            return _running(process, directory, json.loads(announcement.read_text()))
    patience.cancel()
    process.kill()
    said = errors.read_text()[-2000:]
    raise RuntimeError(f"broker dev did not become ready; exit code {process.wait()}:\n{said}")


def environment(**more: str) -> dict[str, str]:
    """A broker's: `more`, ours, and not the verbosity that gRPC's listener sets for this process."""
    ours = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
    return {**more, **ours, "PYTHONUNBUFFERED": "1"}


def start(
    words: tuple[str, ...],
    stderr: IO[str],
    program: tuple[str, ...] | None = None,
    first: str = "",
    **more: str,
) -> subprocess.Popen[str] | Born:
    """`broker WORDS` in a session of its own, with `more` in its environment; `program` and `first` as for
    `start_broker`. Its output is to be read.
    """
    if program is None:
        born = the_nursery().spawn(
            *words, first=first, environment=environment(**more), stderr=stderr.fileno()
        )
        born.stdin.close()
        return born
    return subprocess.Popen(
        [sys.executable, *program, *words],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env=environment(**more),
        start_new_session=True,
    )


def _running(
    process: subprocess.Popen[str] | Born, directory: Path, said: dict[str, object]
) -> RunningBroker:
    identities = said["identities"]
    logs = said["logs"]
    assert isinstance(identities, dict)
    assert isinstance(logs, list)
    return RunningBroker(
        process=process,
        directory=directory,
        https=str(said["https"]),
        grpc=str(said["grpc"]),
        console=str(said["console"]),
        ca=Path(str(said["ca"])),
        identities={
            name: Identity(who["spiffe_id"], Path(who["cert"]), Path(who["key"]))
            for name, who in identities.items()
        },
        log=Path(logs[0]["path"]),
        policies=Path(str(said["policies"])),
        upstream=str(said["upstream"]),
    )
