"""What every measurement shares: folders, the upstream, the bodies sent. Knows no gateway."""

from __future__ import annotations

import json
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from .child import Child

READY_SECONDS = 10.0
ANSWER_SECONDS = 5.0
MODEL = "gpt-4o-mini"
MARK = "qqqqqqqqqqqq"
"""Where it stands in a body, the load generator writes other letters in every call."""
PROSE = (
    f"{MARK}: please read the notes of our planning meeting and write a short summary for the people who "
    "could not attend. We spoke about the new warehouse near the harbour, which opens in early spring, about "
    "the two trucks that will be replaced this year, and about training drivers for the longer northern "
    "route. Everybody agreed that the autumn figures were good, although the weather made several deliveries "
    "late. Name the three decisions that were taken, who will carry each of them out, and by when."
)
CHAT_TURNS = (
    {"role": "system", "content": "You are a careful assistant who answers briefly."},
    {"role": "user", "content": PROSE},
)
CHAT: dict[str, object] = {
    "model": MODEL,
    "max_tokens": 256,  # what upstream writes is less: a stream is cut where it is much more
    "user": f"caller-{MARK}",
}
STREAMED: dict[str, object] = {"stream": True, "stream_options": {"include_usage": True}}


LONG_BYTES = 64 * 1024
LONG_TURNS = (CHAT_TURNS[0], {"role": "user", "content": PROSE + f" {PROSE}" * (LONG_BYTES // len(PROSE))})
EVENTS, MANY_EVENTS = 50, 200


class Shape(StrEnum):
    """The forms of the one call that everybody is asked for."""

    UNARY = "unary"
    STREAM = "stream"
    LONG_PROMPT = "unary-64k"
    LONG_STREAM = "stream-200"

    @property
    def streamed(self) -> bool:
        """Whether the answer comes in events."""
        return self in (Shape.STREAM, Shape.LONG_STREAM)

    @property
    def events(self) -> int:
        """How many chunks upstream's stream has, its usage not counted."""
        return MANY_EVENTS if self is Shape.LONG_STREAM else EVENTS

    @property
    def turns(self) -> tuple[dict[str, str], ...]:
        """The messages."""
        return LONG_TURNS if self is Shape.LONG_PROMPT else CHAT_TURNS

    @property
    def document(self) -> dict[str, object]:
        """The request body, the same for every peer."""
        return CHAT | {"messages": self.turns} | (STREAMED if self.streamed else {})


class Upstream:
    """The running simulated OpenAI; `url` ends before `/v1`."""

    def __init__(self, child: Child, port: int) -> None:
        self.child = child
        self.url = f"http://127.0.0.1:{port}"

    def shape(self, *, events: int, delay_ms: float) -> None:
        """From now on a stream has `events` chunks and waits `delay_ms` before each."""
        body = json.dumps({"events": events, "event_delay_ms": delay_ms}).encode()
        urllib.request.urlopen(f"{self.url}/-/settings", body, ANSWER_SECONDS).close()  # noqa: S310 - our own loopback URL

    def open_streams(self) -> int:
        """Streams that it is sending at this moment."""
        with urllib.request.urlopen(f"{self.url}/-/stats", timeout=ANSWER_SECONDS) as answer:  # noqa: S310 - our own loopback URL
            return int(json.load(answer)["open_streams"])


@dataclass(frozen=True, slots=True)
class Deployment:
    """`work` is this run's own folder; `cache` keeps what was installed and built between runs."""

    cache: Path
    work: Path
    binary: Path
    upstream: Upstream

    def body(self, shape: Shape) -> Path:
        """The file that holds the request body, encoded once."""
        path = self.work / f"{shape}.json"
        if not path.exists():
            path.write_text(json.dumps(shape.document, separators=(",", ":")))
        return path


@contextmanager
def running_upstream(binary: Path, work: Path) -> Iterator[Upstream]:
    """Starts the simulated OpenAI on a free port and ends it."""
    port_file = work / "upstream.port"
    argv = [str(binary), "upstream", "--port-file", str(port_file)]
    child = Child("upstream", argv, folder=work, environment={})
    try:
        child.wait_until(port_file.exists, READY_SECONDS)
        yield Upstream(child, int(port_file.read_text()))
    finally:
        child.stop()


def accepts(port: int) -> bool:
    """Whether something listens there."""
    with socket.socket() as probe:
        probe.settimeout(ANSWER_SECONDS)
        return probe.connect_ex(("127.0.0.1", port)) == 0
