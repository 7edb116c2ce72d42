"""The recorded calls: what SDKs, frameworks and agents put on the wire, one JSON object a line.

Each file holds the calls of one client in one version, as they left it: method, path, headers, body. Long
texts are replaced by our own of the same length, and models that OpenAI has shut down by others. `{stored}`
stands for the id of a response that was stored before.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

CALLS = Path(__file__).with_name("calls")
STORED = "{stored}"


@dataclass(frozen=True)
class RecordedCall:
    """One call of one client."""

    client: str
    line: int
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def __str__(self) -> str:
        return f"{self.client}:{self.line} {self.method} {self.path}"

    @property
    def streams(self) -> bool:
        return bool(self.body) and json.loads(self.body).get("stream") is True


def recorded_calls() -> list[RecordedCall]:
    """All of them, by client and in the order in which they were made."""
    return [
        _call(path.stem, number, json.loads(line))
        for path in sorted(CALLS.glob("*.jsonl"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
    ]


def _call(client: str, line: int, said: dict[str, object]) -> RecordedCall:
    headers = said["headers"]
    assert isinstance(headers, list)
    body = str(said["body"]).encode()
    return RecordedCall(
        client,
        line,
        str(said["method"]),
        str(said["path"]),
        tuple((name, value) for name, value in headers),
        body,
    )
