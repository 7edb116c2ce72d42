"""A real HAProxy on loopback: a TCP load balancer, or one link between two machines; ended by its pid."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.ports import free_port
from tests.processes import freeze

START_SECONDS = 10
_BASE = """
global
    maxconn 4000
defaults
    mode tcp
    timeout connect 1s
    timeout client 60s
    timeout server 60s
    retries 3
    option redispatch 1
listen all
    bind 127.0.0.1:{port}
    balance roundrobin
    {check}
{servers}
"""
_READY = "option httpchk GET /readyz"
_CHECKED = " check check-ssl verify none inter 200ms fall 1 rise 1"


class Balancer:
    """In front of the `servers`, name → address. `ready`: those alone that answer /readyz with 200."""

    def __init__(self, folder: Path, servers: Mapping[str, str], *, ready: bool) -> None:
        binary = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin")
        assert binary is not None, "no HAProxy here: make servers"
        self.port = free_port()
        folder.mkdir(exist_ok=True)
        lines = [
            f"    server {name} {address}{_CHECKED if ready else ''}" for name, address in servers.items()
        ]
        config = folder / "haproxy.cfg"
        check = _READY if ready else ""
        config.write_text(_BASE.format(port=self.port, check=check, servers="\n".join(lines)))
        with (folder / "haproxy.log").open("ab") as log:
            self._process = subprocess.Popen(
                [binary, "-db", "-f", str(config)], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        self._await()

    def freeze(self) -> None:
        """Nothing passes, and no connection ends."""
        freeze(self._process.pid)

    def thaw(self) -> None:
        """Goes on."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ends it."""
        self.thaw()
        self._process.kill()
        self._process.wait()

    def _await(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            assert self._process.poll() is None, "HAProxy ended"
            assert time.monotonic() < deadline, "HAProxy did not start"
            time.sleep(0.02)


@contextmanager
def balancer(folder: Path, servers: Mapping[str, str], *, ready: bool = True) -> Iterator[Balancer]:
    """One that is ended."""
    running = Balancer(folder, servers, ready=ready)
    try:
        yield running
    finally:
        running.stop()
