"""Certificates and CAs replaced under both listeners of a real broker, while calls go on."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import grpc
import httpx
import pytest
from cryptography import x509

from broker.adapters.pki import DevPki
from broker.client import Credentials, grpc_channel
from broker.gen.broker.v1 import openai_pb2, openai_pb2_grpc
from tests.running import SMALL_POLICIES, Identity, RunningBroker, start_broker

SECOND = 1.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    """A broker of these tests' own: its certificates are replaced."""
    running = start_broker(tmp_path_factory.mktemp("certificates") / "dev", *SMALL_POLICIES)
    yield running
    running.stop()


@pytest.fixture
def own(running: RunningBroker) -> Iterator[RunningBroker]:
    """With a fresh process log, and the CA that it began with afterwards."""
    trusted = running.directory / "pki/ca.pem"
    kept = trusted.read_bytes()
    os.truncate(running.errors, 0)
    yield running
    trusted.write_bytes(kept)
    assert _soon(lambda: _https_answers(running, running.identities["explorer"], running.ca))


@dataclass(frozen=True)
class ListenerAddress:
    """Where it is, and what is spoken there (ALPN)."""

    address: str
    protocol: str


def _renew(broker: RunningBroker) -> int:
    """Another server certificate by the same CA; its serial number."""
    pki = broker.directory / "pki"
    (pki / "server.pem").unlink()
    cert = DevPki.load_or_create(pki).server().cert
    return x509.load_pem_x509_certificate(cert.read_bytes()).serial_number


@contextmanager
def _connected(
    listener: ListenerAddress, context: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> Iterator[ssl.SSLSocket]:
    """A new TLS connection to a listener."""
    host, _, port = listener.address.rpartition(":")
    context.set_alpn_protocols([listener.protocol])
    with socket.create_connection((host, int(port)), timeout=5) as raw:
        tls = context.wrap_socket(raw, server_hostname=host, session=session)
        with tls:
            yield tls


def _presented(listener: ListenerAddress, broker: RunningBroker) -> int:
    """The serial number of what a listener presents to a new connection."""
    with _connected(listener, broker.tls("explorer")) as tls:
        der = tls.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der).serial_number


def _listeners(broker: RunningBroker) -> tuple[ListenerAddress, ListenerAddress]:
    return ListenerAddress(broker.https.removeprefix("https://"), "http/1.1"), ListenerAddress(
        broker.grpc, "h2"
    )


def _presents(broker: RunningBroker, serial: int) -> bool:
    """Whether both listeners do, to new connections."""
    return {_presented(listener, broker) for listener in _listeners(broker)} == {serial}


def _models(broker: RunningBroker, who: Identity, ca: Path) -> grpc.StatusCode:
    """What a gRPC call over a new connection comes to."""
    me = Credentials(who.cert, who.key, ca)
    try:
        with grpc_channel(broker.grpc, broker.https, me) as channel:
            openai_pb2_grpc.OpenAIServiceStub(channel).ListModels(openai_pb2.ListModelsRequest(), timeout=10)
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK


def _https_answers(broker: RunningBroker, who: Identity, ca: Path) -> bool:
    """Whether HTTPS takes a new connection of this identity."""
    context = ssl.create_default_context(cafile=str(ca))
    context.load_cert_chain(who.cert, who.key)
    try:
        with httpx.Client(verify=context) as client:
            form = {"grant_type": "client_credentials"}
            return client.post(f"{broker.https}/oauth/token", data=form).status_code == 200
    except httpx.TransportError:
        return False


def _soon(condition: Callable[[], bool]) -> bool:
    """Whether it holds within a second."""
    until = time.monotonic() + SECOND
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


class _Load:
    """Calls over both listeners, on kept and on new connections, until `stop`; what failed."""

    def __init__(self, broker: RunningBroker) -> None:
        self._broker = broker
        self._who = broker.identities["explorer"]
        self.failures: list[str] = []
        self.calls = 0
        self._stop = threading.Event()
        self._token = broker.token("explorer")
        works = (self._kept_https, self._new_https, self._kept_grpc, self._new_grpc)
        self._threads = [threading.Thread(target=self._until_stopped, args=(work,)) for work in works]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _until_stopped(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
            self.failures.append(f"{work.__name__}: {error!r}")

    def _get(self, client: httpx.Client) -> None:
        client.get("/v1/models", headers={"authorization": f"Bearer {self._token}"}).raise_for_status()
        self.calls += 1

    def _list(self, channel: grpc.Channel) -> None:
        stub = openai_pb2_grpc.OpenAIServiceStub(channel)
        stub.ListModels(openai_pb2.ListModelsRequest(), timeout=10)
        self.calls += 1

    def _kept_https(self) -> None:
        with self._broker.http("explorer") as client:
            while not self._stop.is_set():
                self._get(client)

    def _new_https(self) -> None:
        while not self._stop.is_set():
            with self._broker.http("explorer") as client:
                self._get(client)

    def _kept_grpc(self) -> None:
        me = Credentials(self._who.cert, self._who.key, self._broker.ca)
        with grpc_channel(self._broker.grpc, self._broker.https, me) as channel:
            while not self._stop.is_set():
                self._list(channel)

    def _new_grpc(self) -> None:
        me = Credentials(self._who.cert, self._who.key, self._broker.ca)
        while not self._stop.is_set():
            with grpc_channel(self._broker.grpc, self._broker.https, me) as channel:
                self._list(channel)


def test_renewals_under_load_fail_no_call_and_are_presented_within_a_second(own: RunningBroker) -> None:
    load = _Load(own)
    try:
        for _ in range(5):
            assert _soon(partial(_presents, own, _renew(own)))
    finally:
        load.stop()
    assert load.failures == []
    assert load.calls > 50


def test_an_open_stream_outlives_the_certificate_it_began_with(own: RunningBroker) -> None:
    messages = [{"role": "user", "content": "Count to ten."}]
    body = {"model": "gpt-4o-mini", "stream": True, "messages": messages}
    headers = {"authorization": f"Bearer {own.token('explorer')}"}
    with (
        own.http("explorer") as client,
        client.stream("POST", "/v1/chat/completions", json=body, headers=headers) as reply,
    ):
        lines = reply.iter_lines()
        assert next(lines).startswith("data: ")
        assert _soon(partial(_presents, own, _renew(own)))
        assert list(lines)[-2:] == ["data: [DONE]", ""]


def test_a_broken_replacement_changes_nothing_and_is_told_of(own: RunningBroker) -> None:
    before = _presented(_listeners(own)[0], own)
    (own.directory / "pki/server.key").write_bytes(b"garbage")
    assert _soon(lambda: "certificate_refused" in own.errors.read_text())
    assert "server.key holds no plain private key in PEM." in own.errors.read_text()
    assert _presents(own, before)
    assert _soon(partial(_presents, own, _renew(own)))


def test_a_new_ca_is_accepted_and_a_withdrawn_one_is_not_within_a_second(
    own: RunningBroker, tmp_path: Path
) -> None:
    trusted = own.directory / "pki/ca.pem"
    server_ca = tmp_path / "server-ca.pem"
    shutil.copy(trusted, server_ca)
    next_pki = DevPki.load_or_create(tmp_path / "next")
    made = next_pki.workload("explorer")
    old, new = own.identities["explorer"], Identity(made.spiffe_id, made.cert, made.key)
    own = replace(own, ca=server_ca)
    assert _https_answers(own, old, server_ca)
    assert not _https_answers(own, new, server_ca)
    assert _models(own, new, server_ca) is grpc.StatusCode.UNAVAILABLE
    trusted.write_bytes(server_ca.read_bytes() + next_pki.ca.read_bytes())  # both, as a rotation begins
    assert _soon(lambda: _https_answers(own, new, server_ca))
    assert _models(own, new, server_ca) is _models(own, old, server_ca) is grpc.StatusCode.OK
    trusted.write_bytes(next_pki.ca.read_bytes())
    assert _soon(lambda: not _https_answers(own, old, server_ca))
    assert _models(own, old, server_ca) is grpc.StatusCode.UNAVAILABLE
    assert _models(own, new, server_ca) is grpc.StatusCode.OK


HELLO = {
    "http/1.1": b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n",
    "h2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
}


@pytest.mark.parametrize("number", [0, 1], ids=["https", "grpc"])
def test_a_client_whose_ca_was_withdrawn_resumes_no_session(
    own: RunningBroker, tmp_path: Path, number: int
) -> None:
    """A resumed TLS session brings its certificate along unverified: it must not outlive the trust in its
    CA.
    """
    listener = _listeners(own)[number]
    context = own.tls("explorer")
    with _connected(listener, context) as tls:
        tls.sendall(HELLO[listener.protocol])
        assert tls.recv(4096)  # tickets, if any, have come with the first bytes
        kept = tls.session
    trusted = own.directory / "pki/ca.pem"
    trusted.write_bytes(DevPki.load_or_create(tmp_path / "next").ca.read_bytes())
    assert _soon(lambda: "certificate_loaded" in own.errors.read_text())
    resumed, answer = False, b""
    with suppress(OSError), _connected(listener, context, kept) as tls:
        resumed = bool(tls.session_reused)
        tls.sendall(HELLO[listener.protocol])
        answer = tls.recv(4096)
    assert (resumed, answer) == (False, b"")
