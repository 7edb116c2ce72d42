"""A switch in front of OPA: it passes bytes on, or answers as OPA never should. For tests and the bench."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from socketserver import BaseRequestHandler, ThreadingTCPServer

from tests.opa.sidecar import http

BUNDLE = b'"provenance":{"bundles":{"broker":{"revision":"x sha256:' + b"a" * 64 + b'"}}}'


@dataclass(frozen=True)
class Fault:
    """What is answered to every request, after how long; with None, nothing ever. `pieces` are sent one by
    one, `pause` seconds apart.
    """

    answer: bytes | None = None
    after: float = 0.0
    pieces: int = 1
    pause: float = 0.0


FAULTS: Mapping[str, Fault] = {
    "silent": Fault(),
    "slow": Fault(http(b'{"result":{"allow":false},' + BUNDLE + b"}"), after=0.4),
    "a byte at a time": Fault(http(b'{"result":{},' + BUNDLE + b"}"), pieces=200, pause=0.02),
    "garbage": Fault(http(b"\x00garbage\xff")),
    "no HTTP": Fault(b"SSH-2.0-OpenSSH\r\n"),
    "{}": Fault(http(b"{}")),
    "an undefined result": Fault(http(b"{" + BUNDLE + b"}")),
    "null": Fault(http(b"null")),
    "a result of null": Fault(http(b'{"result":null,' + BUNDLE + b"}")),
    "a string": Fault(http(b'"allow"')),
    "a result that is a string": Fault(http(b'{"result":"allow",' + BUNDLE + b"}")),
    "a string for a boolean": Fault(http(b'{"result":{"allow":"true"},' + BUNDLE + b"}")),
    "10 MB": Fault(http(b'{"result":"' + b"x" * 10_000_000 + b'"}')),
    "an error": Fault(http(b"{}", status="500 Internal Server Error")),
}


class _Connection(BaseRequestHandler):
    server: Switch

    def handle(self) -> None:
        with self.server.opened(self.request), suppress(OSError):
            fault = self.server.fault
            if fault is None:
                self._pass_on()
            else:
                self._answer(fault)

    def _pass_on(self) -> None:
        with socket.create_connection(("127.0.0.1", self.server.behind)) as behind:
            back = threading.Thread(target=_pipe, args=(behind, self.request), daemon=True)
            back.start()
            _pipe(self.request, behind)
            back.join()

    def _answer(self, fault: Fault) -> None:
        while self.request.recv(65536):
            self.server.asked += 1
            time.sleep(fault.after)
            if fault.answer is None:
                continue
            size = -(-len(fault.answer) // fault.pieces)
            for start in range(0, len(fault.answer), size):
                self.request.sendall(fault.answer[start : start + size])
                time.sleep(fault.pause)


class Switch(ThreadingTCPServer):
    """Listens on a free port. `behind` is OPA's port; `fault` None passes bytes on."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, behind: int) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.behind = behind
        self.fault: Fault | None = None
        self.asked = 0
        """How many requests a fault answered."""
        self._open: set[socket.socket] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def turn(self, fault: Fault | None) -> None:
        """From now on; connections of before end."""
        self.fault = fault
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def opened(self, connection: socket.socket) -> Iterator[None]:
        self._open.add(connection)
        try:
            yield
        finally:
            self._open.discard(connection)


@contextmanager
def switch(behind: int) -> Iterator[Switch]:
    """A running switch; ended afterwards."""
    with Switch(behind) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield made
        finally:
            made.turn(Fault())
            made.shutdown()
            thread.join()


def _pipe(source: socket.socket, target: socket.socket) -> None:
    """Copies until either side ends."""
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
