"""Where a request goes, and the request itself as bytes (RFC 9112).

Knows: the request's head, what of a lease stands in it. Must not know: answers, retries.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from broker.adapters.openai.outgoing import OutgoingRequest
from broker.adapters.openai.pool import ConnectionPool, Deadlines
from broker.errors import BrokerError, Kind
from broker.model.call import UpstreamRequest
from broker.model.secret import Lease
from broker.model.sends import Sends

_PLAIN_PATH = re.compile(r"[!-~]+\Z")
_PATH_SAFE = "!#$%&'()*+,/:;=?@[]~"
_PRINTABLE = bytes([9, *range(32, 127), *range(128, 256)])


@dataclass(frozen=True, slots=True)
class UpstreamOrigin:
    """Where one base URL leads: its connections, and what stands in each request's head."""

    pool: ConnectionPool
    host: str
    prefix: str

    @classmethod
    def at(cls, base_url: str, connections: int, deadlines: Deadlines) -> UpstreamOrigin:
        """The origin of a base URL, with or without its `/v1`, and at most so many connections to it."""
        parts = urlsplit(base_url.rstrip("/").removesuffix("/v1"))
        return cls(ConnectionPool(base_url, connections, deadlines), parts.netloc, parts.path)


def encode(request: UpstreamRequest, lease: Lease, origin: UpstreamOrigin, sends: Sends) -> OutgoingRequest:
    """The request as bytes (RFC 9112, 3), each sending of which counts in `sends`. Raises BAD_REQUEST for a
    header that no line can hold.
    """
    path = request.path if _PLAIN_PATH.match(request.path) else quote(request.path, safe=_PATH_SAFE)
    fields = [
        ("host", origin.host),
        *request.headers,
        ("accept-encoding", "identity"),
    ]
    if lease.organization is not None:
        fields.append(("openai-organization", lease.organization))
    if lease.project is not None:
        fields.append(("openai-project", lease.project))
    if request.body or request.method == "POST":
        fields.append(("content-length", str(len(request.body))))
    lines = [f"{name}: {value}\r\n" for name, value in fields]
    head = f"{request.method} {origin.prefix}{path} HTTP/1.1\r\n{''.join(lines)}".encode("latin-1")
    if head.translate(None, _PRINTABLE) != b"\r\n" * (len(lines) + 1):
        raise BrokerError(Kind.BAD_REQUEST, "A header holds a control character.", param="headers")
    key = lease.secret.reveal().encode("latin-1")
    return OutgoingRequest(b"".join((head, b"authorization: Bearer ", key, b"\r\n\r\n", request.body)), sends)
