"""Connections to the gRPC port that say nothing, or begin and do not go on: they keep nobody out."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.e2e.raw import address, channel
from tests.running import SMALL_POLICIES, RunningBroker, start_broker

MANY = 1500
_FEW_FILES = 256
_HANDSHAKE_SECONDS = 5


@contextmanager
def opened(broker: RunningBroker, count: int, says: bytes = b"") -> Iterator[list[socket.socket]]:
    """So many connections that go no further than this."""
    with ExitStack() as stack:
        connections = []
        for _ in range(count):
            one = stack.enter_context(socket.create_connection(address(broker.grpc), timeout=10))
            if says:
                one.sendall(says)
            connections.append(one)
        yield connections


def ask(broker: RunningBroker, patience: float) -> float:
    """How long a client that was never here before takes to be served, waiting for the connection."""
    begun = time.monotonic()
    with channel(broker, "assistant", options=[("grpc.use_local_subchannel_pool", 1)]) as client:
        health = health_pb2_grpc.HealthStub(client)
        health.Check(health_pb2.HealthCheckRequest(), timeout=patience, wait_for_ready=True)
    return time.monotonic() - begun


@pytest.mark.parametrize(
    "says", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01"], ids=["nothing", "a byte", "a head"]
)
def test_silent_connections_keep_no_new_grpc_client_out(broker: RunningBroker, says: bytes) -> None:
    """Issue 12, B.21, over gRPC."""
    with opened(broker, MANY, says):
        assert min(ask(broker, 10) for _ in range(2)) < 2


def test_a_silent_grpc_connection_ends(broker: RunningBroker) -> None:
    with opened(broker, 1) as [one]:
        one.settimeout(2 * _HANDSHAKE_SECONDS)
        assert one.recv(1) == b""


def test_silent_grpc_connections_take_no_file_descriptor_that_others_need(tmp_path: Path) -> None:
    """Where a process may open few files, gRPC's library took all of them: HTTPS was shut out, too."""
    broker = start_broker(tmp_path / "b", *SMALL_POLICIES, first=_LIMITED)
    try:
        with opened(broker, _FEW_FILES + 50):
            time.sleep(0.5)
            with broker.http("assistant") as client:
                assert client.get("/readyz").status_code == httpx.codes.OK
                form = {"grant_type": "client_credentials", "scope": "chat:gpt-4o"}
                assert client.post("/oauth/token", data=form).status_code == httpx.codes.OK
            assert ask(broker, 4 * _HANDSHAKE_SECONDS) > 0
    finally:
        broker.stop()


_LIMITED = f"""
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({_FEW_FILES}, {_FEW_FILES}))
"""
