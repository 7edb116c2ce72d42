"""One server with a stand-in core, and a channel to it, for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import count
from typing import TypeAlias

import grpc
import grpc.aio
import pytest

from broker.adapters.clock import SystemClock
from broker.gen.broker.v1 import audit_pb2_grpc, openai_pb2_grpc, token_pb2_grpc
from broker.identity.certificate import CertificateReader
from broker.listeners.grpc.dependencies import ListenerDependencies
from broker.listeners.grpc.server import GrpcServer
from broker.listeners.sockets import BoundSocket
from broker.listeners.tlsfiles import TlsFiles, TlsInUse
from tests.grpc.fakes import FakeServices
from tests.grpc.pki import Authority, Pair

RawRpc: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"  # generic only for the checker


@dataclass(frozen=True)
class GrpcSetup:
    """What a test of the listener needs."""

    dependencies: FakeServices
    server: GrpcServer
    authority: Authority
    channel: grpc.aio.Channel

    @property
    def openai(self) -> openai_pb2_grpc.OpenAIServiceAsyncStub:
        return openai_pb2_grpc.OpenAIServiceStub(self.channel)

    @property
    def tokens(self) -> token_pb2_grpc.TokenServiceAsyncStub:
        return token_pb2_grpc.TokenServiceStub(self.channel)

    @property
    def audit(self) -> audit_pb2_grpc.AuditServiceAsyncStub:
        return audit_pb2_grpc.AuditServiceStub(self.channel)


def channel_credentials(authority: Authority, pair: Pair | None) -> grpc.ChannelCredentials:
    """Trusts `authority` and, with a pair, shows its certificate."""
    ca = authority.certificate.read_bytes()
    if pair is None:
        return grpc.ssl_channel_credentials(ca)
    return grpc.ssl_channel_credentials(ca, pair.key.read_bytes(), pair.certificate.read_bytes())


def raw_rpc(channel: grpc.aio.Channel, method: str) -> RawRpc:
    """An RPC that sends and gets bytes as they are."""
    return channel.unary_unary(method)


def dependencies_of(stand_in: FakeServices) -> ListenerDependencies:
    """The stand-in behind the listener, with the real certificate reader."""
    numbers = count(1)
    return ListenerDependencies(
        calls=stand_in,
        token_issuer=stand_in,
        administrator=stand_in,
        policy_explainer=stand_in,
        own_limits=stand_in,
        limit_administrator=stand_in,
        read_peer=CertificateReader("test.broker", 86_400).read,
        unready=lambda: stand_in.missing,
        new_call_id=lambda: f"call_{next(numbers)}",
        shedder=stand_in.shedder,
        on_defect=lambda call_id, error: stand_in.defects.append((call_id, error)),
    )


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki") / "test-ca")


@pytest.fixture(scope="session")
def files(authority: Authority) -> TlsFiles:
    pair = authority.server()
    return TlsFiles(pair.certificate, pair.key, authority.certificate)


@pytest.fixture(scope="session")
def workload(authority: Authority) -> Pair:
    return authority.workload("assistant")


@pytest.fixture
async def scene(authority: Authority, files: TlsFiles, workload: Pair) -> AsyncIterator[GrpcSetup]:
    dependencies = FakeServices()
    server = GrpcServer(
        dependencies_of(dependencies),
        TlsInUse(files, SystemClock()),
        BoundSocket("127.0.0.1:0"),
        reflection=True,
    )
    await server.start()
    credentials = channel_credentials(authority, workload)
    async with grpc.aio.secure_channel(server.address, credentials) as channel:
        yield GrpcSetup(dependencies, server, authority, channel)
    await server.stop(0)
