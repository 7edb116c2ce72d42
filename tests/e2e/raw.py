"""What the tests of the whole path share: raw TLS, the log's records, what reached the simulated OpenAI."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status

from broker.adapters.ledger.directory import LogDirectory
from tests import plain
from tests.running import RunningBroker

CANARY = "canary-7b4d1f09"
"""Stands in everything hostile that a test sends; the broker must not write it anywhere."""


def records(broker: RunningBroker, call_id: str) -> list[dict[str, Any]]:
    """The durable records of one call, oldest first."""
    found = (entry for _, entry in LogDirectory(broker.log).entries() if call_id.encode() in entry)
    return [record for record in map(json.loads, found) if record["call_id"] == call_id]


def token_records(broker: RunningBroker, token_id: str) -> list[dict[str, Any]]:
    """The durable records that name this token, oldest first."""
    found = (entry for _, entry in LogDirectory(broker.log).entries() if token_id.encode() in entry)
    return [record for record in map(json.loads, found) if record.get("token_id") == token_id]


def assert_unwritten(broker: RunningBroker, text: str = CANARY) -> None:
    """Nothing that holds `text` is in the broker's own log or in any record."""
    assert text not in broker.errors.read_text()
    assert not [seq for seq, entry in LogDirectory(broker.log).entries() if text.encode() in entry]


def received(broker: RunningBroker) -> int:
    """How many calls have reached the simulated OpenAI."""
    count: int = plain.get(f"{broker.upstream.removesuffix('/v1')}/sim/received?entries=0").json()["count"]
    return count


@contextlib.contextmanager
def nothing_reaches_upstream(broker: RunningBroker) -> Iterator[None]:
    """Fails when a call inside the block reached the simulated OpenAI."""
    before = received(broker)
    yield
    assert received(broker) == before


def bearer(broker: RunningBroker, identity: str) -> dict[str, str]:
    """The authorization header of an identity."""
    return {"authorization": f"Bearer {broker.token(identity)}"}


def address(url: str) -> tuple[str, int]:
    """Host and port of `https://host:port` or `host:port`."""
    host, _, port = url.removeprefix("https://").rpartition(":")
    return host, int(port)


@contextlib.contextmanager
def connection(broker: RunningBroker, context: ssl.SSLContext, url: str) -> Iterator[ssl.SSLSocket]:
    """A bare TLS connection to a listener."""
    with (
        socket.create_connection(address(url), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        yield secure


def until_closed(peer: socket.socket) -> bytes:
    """All that comes until the other end closes or resets; raises TimeoutError when it does not."""
    heard = b""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError, ssl.SSLError):
        while chunk := peer.recv(65536):
            heard += chunk
    return heard


@dataclass(frozen=True)
class RawReply:
    """One HTTP/1.1 reply, read by hand."""

    status: int
    headers: dict[str, str]
    body: bytes

    def error(self) -> dict[str, Any]:
        """The `error` object of the body."""
        found: dict[str, Any] = json.loads(self.body)["error"]
        return found


def say(broker: RunningBroker, identity: str | None, request: bytes) -> RawReply:
    """Sends exactly these bytes over TLS and reads one reply, which must have a content-length or end."""
    with connection(broker, broker.tls(identity), broker.https) as secure:
        secure.sendall(request)
        heard = b""
        while b"\r\n\r\n" not in heard:
            chunk = secure.recv(65536)
            assert chunk, f"the connection ended after {len(heard)} bytes"
            heard += chunk
        head, _, body = heard.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        while len(body) < int(headers.get("content-length", "0")):
            body += secure.recv(65536)
        return RawReply(int(lines[0].split(" ")[1]), headers, body)


def channel(broker: RunningBroker, identity: str | None, **options: Any) -> grpc.Channel:
    """A gRPC channel, with the identity's certificate if any."""
    pair: tuple[bytes, ...] = ()
    if identity is not None:
        who = broker.identities[identity]
        pair = (who.key.read_bytes(), who.cert.read_bytes())
    return grpc.secure_channel(
        broker.grpc, grpc.ssl_channel_credentials(broker.ca.read_bytes(), *pair), **options
    )


@dataclass(frozen=True)
class Refused:
    """How an RPC was refused."""

    code: grpc.StatusCode
    reason: str
    fields: tuple[str, ...]
    trailers: dict[str, Any]
    message: str


def refusal(error: grpc.RpcError) -> Refused:
    """Reads code, google.rpc details and trailers of a failed RPC."""
    assert isinstance(error, grpc.Call)
    reason, fields = "", []
    status = rpc_status.from_call(error)
    for detail in status.details if status is not None else ():
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(bad):
            fields = [violation.field for violation in bad.field_violations]
    trailers: dict[str, Any] = dict(error.trailing_metadata() or ())
    return Refused(error.code(), reason, tuple(fields), trailers, error.details() or "")
