"""Servers on TLS loopback that answer as Vault does, until told to answer as it should not."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from broker.adapters.pki import DevPki

TOKEN = "hvs.canary-token-0123456789"
KEY = "sk-canary-0123456789abcdef"


@dataclass(frozen=True)
class Seen:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: str


@dataclass(frozen=True)
class Scripted:
    """An answer. `length` is a Content-Length that may be a lie; `drip` seconds lie between its bytes."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    length: int | None = None
    drip: float = 0.0


Script = Callable[[Seen], Scripted | None]


class FakeVault:
    """A node of a cluster. `script` may answer instead; None means as Vault would."""

    def __init__(self, pki: DevPki) -> None:
        self.seen: list[Seen] = []
        self.script: Script = lambda _seen: None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        identity = pki.server("/vault")
        context.load_cert_chain(identity.cert, identity.key)
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.ca: Path = pki.ca
        self.address = f"https://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, seen: Seen) -> Scripted:
        self.seen.append(seen)
        return self.script(seen) or as_vault(seen)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        node = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                names = {name.lower(): value for name, value in self.headers.items()}
                answer = node.answer(Seen(self.command, self.path, names, body))
                time.sleep(answer.delay)
                try:
                    self._send(answer)
                except OSError:
                    self.close_connection = True  # the caller has given up

            def _send(self, answer: Scripted) -> None:
                if answer.status == 0:
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                length = len(answer.body) if answer.length is None else answer.length
                self.send_header("Content-Length", str(length))
                self.end_headers()
                pieces = [answer.body[i : i + 1] for i in range(len(answer.body))] if answer.drip else []
                for piece in pieces or [answer.body]:
                    self.wfile.write(piece)
                    self.wfile.flush()
                    time.sleep(answer.drip)
                self.close_connection = length != len(answer.body)

            do_GET = do_POST = do_PUT = _serve  # noqa: N815 - http.server's names

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
                pass

        return Handler


def as_json(value: object) -> Scripted:
    return Scripted(body=json.dumps(value).encode())


def as_vault(seen: Seen) -> Scripted:
    """What Vault answers when all is well: version 1 of KEY for every credential."""
    if seen.path.endswith("/login"):
        return as_json({"auth": {"client_token": TOKEN, "lease_duration": 3600, "renewable": True}})
    version = {"created_time": "", "deletion_time": "", "destroyed": False}
    if "/metadata/" in seen.path:
        return as_json({"data": {"current_version": 1, "versions": {"1": version}}})
    if "/data/" in seen.path:
        return as_json({"data": {"data": {"key": KEY}, "metadata": {**version, "version": 1}}})
    return Scripted(204)
