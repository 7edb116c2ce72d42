"""One verdict on a client's certificates: the same chains, at both listeners, really shaken hands with."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import grpc.aio
import pytest
from cryptography import x509
from structlog.testing import capture_logs

from broker.adapters.clock import SystemClock
from broker.gen.broker.v1 import openai_pb2, openai_pb2_grpc
from broker.identity.certificate import CertificateReader
from broker.listeners.grpc.server import GrpcServer
from broker.listeners.https.app import HttpsApp, HttpsDependencies
from broker.listeners.https.limits import LimitRoutes
from broker.listeners.https.oauth import OAuth
from broker.listeners.https.server import HttpServer, tls_context
from broker.listeners.sockets import BoundSocket
from broker.listeners.tlsfiles import TlsFiles, TlsInUse, authority_problem
from tests.grpc.conftest import dependencies_of
from tests.grpc.fakes import FakeServices
from tests.grpc.pki import Authority
from tests.identity.chains import CHAINS, NAMES, Chain, trusted

_REQUEST = b"GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


@dataclass
class Listeners:
    """Both of them, on one bundle of CAs, and what they told of handshakes."""

    https: str
    grpc: str
    folder: Path
    server_ca: Path
    rejected: list[str] = field(default_factory=list)

    async def over_https(self, chain: Chain) -> bool:
        context = ssl.create_default_context(cafile=self.server_ca)
        context.check_hostname = False
        context.set_ciphers("DEFAULT@SECLEVEL=0")  # so that the client shows whatever it has
        try:
            context.load_cert_chain(*self._files(chain))
            host, port = self.https.rsplit(":", 1)
            reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
            writer.write(_REQUEST)
            answer = await asyncio.wait_for(reader.read(), 10)
            writer.close()
        except (ssl.SSLError, ConnectionError):
            return False
        return answer.startswith(b"HTTP/1.1 200")

    async def over_grpc(self, chain: Chain) -> bool:
        shown = grpc.ssl_channel_credentials(self.server_ca.read_bytes(), chain.key(), chain.pem())
        async with grpc.aio.secure_channel(self.grpc, shown) as channel:
            stub = openai_pb2_grpc.OpenAIServiceStub(channel)
            try:
                await stub.ListModels(openai_pb2.ListModelsRequest(), timeout=10)
            except grpc.aio.AioRpcError as error:
                if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED):
                    return False
                raise
        return True

    def _files(self, chain: Chain) -> tuple[Path, Path]:
        certificate, key = self.folder / "shown.pem", self.folder / "shown.key"
        certificate.write_bytes(chain.pem())
        key.write_bytes(chain.key())
        return certificate, key


@pytest.fixture
async def listeners(tmp_path: Path) -> AsyncIterator[Listeners]:
    server_ca = Authority(tmp_path / "server-ca")
    own = server_ca.server()
    bundle = tmp_path / "client-cas.pem"
    bundle.write_bytes(trusted())
    with capture_logs() as told:
        tls = TlsInUse(TlsFiles(own.certificate, own.key, bundle), SystemClock())
    assert {line["event"] for line in told} == {"client_ca_skipped"}
    dependencies, socket = dependencies_of(FakeServices()), BoundSocket("127.0.0.1:0")
    reader = CertificateReader(NAMES, 86_400)
    oauth = OAuth(dependencies.token_issuer, dependencies.administrator, {}, "https://x", "https://x")
    limits = LimitRoutes(dependencies.own_limits, dependencies.limit_administrator)
    listener = HttpsDependencies(
        dependencies.calls, oauth, limits, reader.read, dependencies.unready, dependencies.new_call_id
    )
    running = Listeners(socket.address, "", tmp_path, server_ca.certificate)
    https = HttpServer(HttpsApp(listener), socket, tls_context(tls, running.rejected.append))
    over_grpc = GrpcServer(dependencies, tls, BoundSocket("127.0.0.1:0"))
    await https.start()
    await over_grpc.start()
    running.grpc = over_grpc.address
    yield running
    await https.stop()
    await over_grpc.stop(0)


async def test_both_listeners_give_each_chain_the_same_answer(listeners: Listeners) -> None:
    """Eighty chains, one property apart; RSA-1024, pathlen and digitalSignature are among them."""
    verdicts = {
        chain.name: (await listeners.over_https(chain), await listeners.over_grpc(chain)) for chain in CHAINS
    }
    assert verdicts == {chain.name: (chain.good, chain.good) for chain in CHAINS}
    assert len(CHAINS) >= 60


async def test_a_rejected_handshake_is_told_with_its_reason(listeners: Listeners) -> None:
    for chain in CHAINS:
        if chain.name in ("expired", "intermediate not sent", "RSA-1024"):
            assert not await listeners.over_https(chain)
    assert listeners.rejected == [
        "client certificate: EE certificate key too weak",
        "client certificate: certificate has expired",
        "client certificate: unable to get local issuer certificate",
    ]


def test_a_ca_is_judged_as_every_handshake_with_it_ends() -> None:
    """What start and `broker doctor` say of a CA agrees with what became of the chains below it."""
    for chain in CHAINS:
        if chain.root():
            root = x509.load_pem_x509_certificate(chain.root())
            assert not (chain.good and authority_problem(root, datetime.now(UTC))), chain.name
    bad = [chain for chain in CHAINS if chain.name.startswith(("root", "expired root")) and not chain.good]
    assert len(bad) == 7
    for chain in bad:
        assert authority_problem(x509.load_pem_x509_certificate(chain.root()), datetime.now(UTC)), chain.name


def test_a_plain_self_signed_ca_is_refused_at_start_by_name(tmp_path: Path) -> None:
    """As `openssl req -x509` makes one where its configuration adds no keyUsage."""
    chain = next(chain for chain in CHAINS if chain.name == "root without key usage")
    own = Authority(tmp_path / "server-ca").server()
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(chain.root())
    with pytest.raises(
        Exception, match=r"ca\.pem holds no CA that can verify a caller: .*keyUsage"
    ) as caught:
        TlsFiles(own.certificate, own.key, bundle).read(datetime.now(UTC))
    assert "keyCertSign" in str(caught.value)


def test_an_expired_ca_beside_a_good_one_is_left_out_and_told(tmp_path: Path) -> None:
    own = Authority(tmp_path / "server-ca").server()
    good, expired = (
        next(c for c in CHAINS if c.name == name) for name in ("an ordinary leaf", "expired root")
    )
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(expired.root() + good.root())
    material = TlsFiles(own.certificate, own.key, bundle).read(datetime.now(UTC))
    assert material.client_ca == good.root()
    assert "expired on" in material.left_out[0]
    assert "not valid before" in authority_problem(
        x509.load_pem_x509_certificate(good.root()), datetime.now(UTC) - timedelta(days=2)
    )
