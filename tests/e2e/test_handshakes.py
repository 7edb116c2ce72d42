"""Handshakes that a listener rejects: counted by reason, and told, on both."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.adapters.pki import DevPki
from tests import plain
from tests.e2e.raw import address
from tests.running import SMALL_POLICIES, RunningBroker, start_broker

_SECONDS = 5


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    """Its counts are this module's alone."""
    running = start_broker(tmp_path_factory.mktemp("handshakes") / "b", *SMALL_POLICIES)
    yield running
    running.stop()


def rejected(broker: RunningBroker, listener: str) -> dict[str, float]:
    """What the metrics say, by reason."""
    found = {}
    for line in plain.get(f"{broker.console}/metrics").text.splitlines():
        if line.startswith(f'broker_handshakes_rejected_total{{listener="{listener}"'):
            name, _, count = line.rpartition(" ")
            found[name.partition('reason="')[2].removesuffix('"}')] = float(count)
    return found


def awaited(broker: RunningBroker, listener: str, count: int) -> dict[str, float]:
    deadline = time.monotonic() + _SECONDS
    while sum((now := rejected(broker, listener)).values()) < count:
        assert time.monotonic() < deadline, now
        time.sleep(0.05)
    return now


def shake(broker: RunningBroker, listener: str, context: ssl.SSLContext) -> None:
    url = broker.https if listener == "https" else broker.grpc
    with (
        socket.create_connection(address(url), timeout=10) as plain,
        contextlib.suppress(OSError),
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        secure.recv(1)


def of_another_ca(broker: RunningBroker, home: Path) -> ssl.SSLContext:
    context = broker.tls(None)
    who = DevPki.load_or_create(home, "dev.broker").workload("assistant")
    context.load_cert_chain(who.cert, who.key)
    return context


@pytest.mark.parametrize("listener", ["https", "grpc"])
def test_a_rejected_handshake_is_counted_and_told_on_both_listeners(
    own: RunningBroker, listener: str, tmp_path: Path
) -> None:
    """Issue 12, B.19: gRPC told nobody of those it turned away; our own probe at the start is none."""
    assert rejected(own, listener) == {}
    context = of_another_ca(own, tmp_path)
    for _ in range(3):
        shake(own, listener, context)
    old = own.tls("assistant")
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    shake(own, listener, old)
    counts = awaited(own, listener, 4)
    [untrusted] = [reason for reason in counts if reason.startswith("client certificate: ")]
    assert counts[untrusted] == 3
    told = [json.loads(line) for line in own.errors.read_text().splitlines() if "handshake_rejected" in line]
    [line] = [each for each in told if each["listener"] == listener and each["reason"] == untrusted]
    assert line["level"] == "warning"
    assert line["times"] == 1  # at once, then once a minute


def test_no_line_of_a_library_stands_in_our_log(own: RunningBroker) -> None:
    for line in own.errors.read_text().splitlines()[1:]:  # the first is for people: DEV MODE
        json.loads(line)


def test_a_flood_of_rejected_handshakes_is_one_line(own: RunningBroker, tmp_path: Path) -> None:
    before = sum(rejected(own, "grpc").values())
    for _ in range(100):
        with socket.create_connection(address(own.grpc)) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            plain.recv(1024)
    awaited(own, "grpc", int(before) + 100)
    told = [
        line
        for line in own.errors.read_text().splitlines()
        if "handshake_rejected" in line and "grpc" in line
    ]
    assert len(told) == len(rejected(own, "grpc"))
