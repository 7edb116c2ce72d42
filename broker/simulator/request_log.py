"""What the simulator received, for comparison with the broker's log.

Knows: request heads and a hash of the body. Must not know: keys (the last four characters excepted),
prompts, or what was answered.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from broker.simulator.request import ReceivedRequest

KEPT = 200_000
KEY_TAIL = 4
_WITHHELD = frozenset((b"authorization", b"proxy-authorization", b"cookie"))


@dataclass(frozen=True, slots=True)
class Received:
    """One request. `time_ns` is unix time when its head had arrived, `path` has the raw query string,
    `request_id` is the `x-request-id` it was answered with. `headers` lacks those that carry credentials.
    """

    time_ns: int
    method: str
    path: str
    body_sha256: str
    body_bytes: int
    key_last4: str
    request_id: str
    raw_headers: tuple[tuple[bytes, bytes], ...]

    @property
    def headers(self) -> dict[str, str]:
        """Lower-case names; of a repeated header the last value."""
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in self.raw_headers}

    def as_document(self) -> dict[str, object]:
        """The entry as `GET /sim/received` shows it."""
        return {
            "time_ns": self.time_ns,
            "method": self.method,
            "path": self.path,
            "body_sha256": self.body_sha256,
            "body_bytes": self.body_bytes,
            "key_last4": self.key_last4,
            "request_id": self.request_id,
            "headers": self.headers,
        }


def entry_of(received: ReceivedRequest) -> Received:
    """The entry for a request: of its key the last four characters, of its body the hash."""
    return Received(
        time_ns=received.time_ns,
        method=received.method,
        path=f"{received.path}?{received.query}" if received.query else received.path,
        body_sha256=received.digest,
        body_bytes=len(received.body),
        key_last4=received.headers.get(b"authorization", b"")[-KEY_TAIL:].decode("latin-1"),
        request_id=received.request_id,
        raw_headers=tuple(pair for pair in received.headers.items() if pair[0] not in _WITHHELD),
    )


class RequestLog:
    """Counts every request and keeps the last KEPT of them."""

    def __init__(self) -> None:
        self.count = 0
        self._entries: deque[Received] = deque(maxlen=KEPT)

    @property
    def entries(self) -> list[Received]:
        return list(self._entries)

    def add(self, entry: Received) -> None:
        self.count += 1
        self._entries.append(entry)

    def clear(self) -> None:
        self.count = 0
        self._entries.clear()
