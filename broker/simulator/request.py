"""One request: as it arrived, and authenticated, routed, parsed.

Knows: the parsed parts. Must not know: sockets, or which operation reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

import orjson

from broker.simulator import api_error
from broker.simulator.overrides import Overrides

_EPOCH = 1_760_000_000


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """One request as it came in, unjudged. `path` is raw, without the `query`; `time_ns` is unix time when
    the head had arrived; `digest` is the hex SHA-256 of `body`; `request_id` is what we call it.
    """

    time_ns: int
    method: str
    path: str
    query: str
    headers: Mapping[bytes, bytes]
    body: bytes
    digest: str
    request_id: str


def document_of(received: ReceivedRequest) -> Mapping[str, object]:
    """The JSON object in the body, empty where there is none. Raises ApiError 400."""
    if not received.body:
        return {}
    sent = received.headers.get(b"content-type", b"").decode("latin-1")
    if sent.partition(";")[0].strip().lower() != "application/json":
        raise api_error.wrong_content_type(sent)
    try:
        document = orjson.loads(received.body)
    except orjson.JSONDecodeError:
        raise api_error.not_json() from None
    if not isinstance(document, dict):
        raise api_error.not_json()
    return document


@dataclass(frozen=True, slots=True)
class Request:
    """`document` is the JSON body, empty where there was none. `digest` is the hex SHA-256 of `body` and
    the seed of the identifiers in the reply. `request_id` is unique; all else is the caller's.
    """

    document: Mapping[str, object]
    body: bytes
    digest: str
    query: str
    overrides: Overrides
    request_id: str
    arguments: tuple[str, ...] = ()

    @property
    def created(self) -> int:
        """Unix seconds that depend on the body alone, so that equal requests get equal bytes."""
        return _EPOCH + int(self.digest[:6], 16)

    @property
    def stream(self) -> bool:
        return self.document.get("stream") is True

    def parameter(self, name: str, default: str = "") -> str:
        """The last value of one query parameter."""
        return dict(parse_qsl(self.query, keep_blank_values=True)).get(name, default)

    def text(self, name: str) -> str:
        """A string field that validation has seen; empty where absent."""
        value = self.document.get(name)
        return value if isinstance(value, str) else ""

    def integer(self, name: str) -> int | None:
        """An integer field that validation has seen; None where absent."""
        value = self.document.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None
