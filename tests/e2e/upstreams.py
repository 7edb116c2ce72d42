"""Upstreams of a test's own: the simulator as a process, and one that says just what the test tells it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests import plain
from tests.nursery import SIMULATOR, STDERR, the_nursery
from tests.running import SMALL_POLICIES


@contextmanager
def simulator_process(key_file: Path, *arguments: str | Path) -> Iterator[str]:
    """A simulated OpenAI that outlives any broker; yields its URL."""
    words = ("--port", "0", "--key-file", str(key_file), *map(str, arguments))
    process = the_nursery().spawn(*words, program=SIMULATOR, stderr=STDERR)
    with process.stdin, process.stdout:
        try:
            ready, _, url = process.stdout.readline().strip().partition(" ")
            assert ready == "ready", "the simulator did not start"
            yield url
        finally:
            process.terminate()
            process.wait()


@contextmanager
def behind(home: Path) -> Iterator[tuple[str, ...]]:
    """A simulated OpenAI for one broker after the other, and small policies: as `broker dev` is told."""
    key = home / "upstream.key"
    key.write_text("sk-behind-0123456789abcdefghijklmn")
    with simulator_process(key) as url:
        yield "--upstream", f"{url}/v1", "--upstream-key-file", str(key), *SMALL_POLICIES


def received(upstream: str) -> Any:
    """What a simulator says it received: `count`, `open_replies`, `entries`."""
    reply = plain.get(f"{upstream.removesuffix('/v1')}/sim/received", timeout=60)
    reply.raise_for_status()
    return reply.json()


class Exchange(BaseHTTPRequestHandler):
    """One request at a scripted upstream; the script answers it through these methods."""

    protocol_version = "HTTP/1.1"
    server: ScriptedUpstream

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        self.server.heads.append([(name.lower(), value) for name, value in self.headers.items()])
        self.server.paths.append(self.path)
        self.server.bodies.append(body)
        self.server.script(self)

    do_GET = do_POST  # noqa: N815 - the name http.server looks for

    def head(self, status: int, **headers: str) -> None:
        """Status line and headers, underscores for hyphens. The reply ends with the connection."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("connection", "close")
        self.end_headers()

    def whole(self, status: int, body: bytes, **headers: str) -> None:
        """A reply with its content-length."""
        self.head(status, **{"content_type": "application/json", **headers, "content_length": str(len(body))})
        self.wfile.write(body)

    def raw(self, answer: bytes) -> None:
        """Just these bytes; the connection stays open."""
        self.wfile.write(answer)
        self.wfile.flush()

    def events(self, *events: bytes) -> None:
        """A stream of events, each sent by itself."""
        self.head(200, content_type="text/event-stream")
        for event in events:
            self.wfile.write(event)
            self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's own name
        """Says nothing on standard error."""


class ScriptedUpstream(ThreadingHTTPServer):
    """An upstream on a free loopback port. `script` answers; `paths`, `heads` (lower-case header names) and
    `bodies` are what was asked.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self.script: Callable[[Exchange], None] = lambda exchange: exchange.whole(200, b"{}")
        self.paths: list[str] = []
        self.heads: list[list[tuple[str, str]]] = []
        self.bodies: list[bytes] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """The broker hangs up on some scripts: that is the point of them."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def answer(self, script: Callable[[Exchange], None]) -> None:
        """From now on `script` answers; what was asked before is forgotten."""
        self.script = script
        self.paths.clear()
        self.heads.clear()
        self.bodies.clear()


@contextmanager
def scripted_upstream() -> Iterator[ScriptedUpstream]:
    """A scripted upstream, serving in a thread."""
    with ScriptedUpstream() as upstream:
        thread = threading.Thread(target=upstream.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield upstream
        finally:
            upstream.shutdown()
            thread.join()


def chat_event(content: str, index: int = 0) -> bytes:
    """One chunk of a chat stream."""
    choice = {"index": index, "delta": {"content": content}, "finish_reason": None}
    chunk = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4o",
        "choices": [choice],
    }
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
