"""Attacks on the connection itself."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
import sys
from pathlib import Path

import grpc
import grpc.aio
import pytest

from broker.gen.broker.v1 import openai_pb2, openai_pb2_grpc
from broker.listeners.grpc.server import MAX_MESSAGE_BYTES, OPTIONS
from broker.listeners.tlsfiles import TlsFiles
from tests.grpc.conftest import GrpcSetup, channel_credentials
from tests.grpc.pki import Authority, Pair


async def _handshake(scene: GrpcSetup, workload: Pair, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "openssl", "s_client", "-connect", scene.server.address, "-alpn", "h2", "-brief",
        "-cert", str(workload.certificate), "-key", str(workload.key), *arguments,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return output.decode(errors="replace")


async def test_tls_1_2_is_refused_and_1_3_is_not(scene: GrpcSetup, workload: Pair) -> None:
    assert "CONNECTION ESTABLISHED" not in await _handshake(scene, workload, "-tls1_2")
    assert "Protocol version: TLSv1.3" in await _handshake(scene, workload, "-tls1_3")


def test_a_process_that_would_speak_tls_1_2_refuses_to_serve(files: TlsFiles) -> None:
    paths = [str(path) for path in (files.certificate, files.key, files.client_ca)]
    program = f"""
import grpc.aio, asyncio
from pathlib import Path
from broker.listeners.grpc.server import GrpcServer
from broker.adapters.clock import SystemClock
from broker.listeners.sockets import BoundSocket
from broker.listeners.tlsfiles import TlsFiles, TlsInUse
from broker.listeners.grpc.tls12 import OldTlsError
from tests.grpc.conftest import dependencies_of
from tests.grpc.fakes import FakeServices

async def main():
    tls = TlsInUse(TlsFiles(*map(Path, {paths!r})), SystemClock())
    server = GrpcServer(dependencies_of(FakeServices()), tls, BoundSocket("127.0.0.1:0"))
    try:
        await server.start()
    except OldTlsError as error:
        print("refused:", error)

asyncio.run(main())
"""
    root = Path(__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", program], cwd=root, env={}, capture_output=True, check=True)
    assert ended.stdout.startswith(b"refused: The gRPC listener would accept TLS 1.2.")


async def _code(scene: GrpcSetup, credentials: grpc.ChannelCredentials | None) -> grpc.StatusCode:
    address = scene.server.address
    if credentials is None:
        opened = grpc.aio.insecure_channel(address)
    else:
        opened = grpc.aio.secure_channel(address, credentials)
    async with opened as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await openai_pb2_grpc.OpenAIServiceStub(channel).ListModels(openai_pb2.ListModelsRequest())
    assert not scene.dependencies.inbounds
    return caught.value.code()


async def test_a_caller_without_certificate_is_refused(scene: GrpcSetup) -> None:
    assert await _code(scene, channel_credentials(scene.authority, None)) is grpc.StatusCode.UNAVAILABLE


async def test_a_certificate_of_another_authority_is_refused(scene: GrpcSetup, tmp_path: Path) -> None:
    foreign = Authority(tmp_path / "foreign").workload("assistant")
    assert await _code(scene, channel_credentials(scene.authority, foreign)) is grpc.StatusCode.UNAVAILABLE


async def test_a_plain_text_client_is_refused(scene: GrpcSetup) -> None:
    assert await _code(scene, None) is grpc.StatusCode.UNAVAILABLE


async def test_a_certificate_that_names_no_workload_is_refused(scene: GrpcSetup) -> None:
    nameless = channel_credentials(scene.authority, scene.authority.server())
    assert await _code(scene, nameless) is grpc.StatusCode.UNAUTHENTICATED


async def _sent(
    scene: GrpcSetup,
    request: openai_pb2.CreateEditRequest,
    metadata: tuple[tuple[str, str], ...] = (),
    compression: grpc.Compression | None = None,
) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await scene.openai.CreateEdit(request, metadata=metadata, compression=compression)
    assert not scene.dependencies.inbounds
    return caught.value.code()


async def test_a_message_over_16_mib_is_refused(scene: GrpcSetup) -> None:
    huge = openai_pb2.CreateEditRequest(input="x" * MAX_MESSAGE_BYTES)
    assert await _sent(scene, huge) is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_compressed_message_is_refused(scene: GrpcSetup) -> None:
    bomb = openai_pb2.CreateEditRequest(input="x" * 100_000)
    code = await _sent(scene, bomb, compression=grpc.Compression.Gzip)
    assert code is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("size", [8_200, 9_000, 12_000, 15_000, 20_000])
async def test_metadata_over_8_kib_is_refused(scene: GrpcSetup, size: int) -> None:
    code = await _sent(scene, openai_pb2.CreateEditRequest(), (("x-padding", "x" * size),))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_token_of_4_kib_fits_into_the_metadata(scene: GrpcSetup) -> None:
    metadata = (("authorization", f"Bearer {'x' * 4096}"), ("x-stainless-lang", "python"))
    request = openai_pb2.CreateEditRequest(model="gpt-4o", instruction="x")
    await scene.openai.CreateEdit(request, metadata=metadata)
    assert scene.dependencies.inbounds[0].bearer == "x" * 4096


async def _pinged(scene: GrpcSetup, workload: Pair, times: int, seconds: float) -> bytes:
    """What an HTTP/2 client without a call hears that pings so often: frames, or the end."""
    context = ssl.create_default_context(cafile=scene.authority.certificate)
    context.load_cert_chain(workload.certificate, workload.key)
    context.set_alpn_protocols(["h2"])
    host, port = scene.server.address.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))  # and empty SETTINGS
    for _ in range(times):
        writer.write(b"\x00\x00\x08\x06\x00" + bytes(4) + b"pingpong")
        await asyncio.sleep(seconds)
    heard = b""
    with contextlib.suppress(TimeoutError, ConnectionError, ssl.SSLError):
        async with asyncio.timeout(0.5):
            while part := await reader.read(65536):
                heard += part
    writer.close()
    return heard


async def test_a_client_that_pings_within_the_promise_is_not_cut_off(
    scene: GrpcSetup, workload: Pair
) -> None:
    """Silent calls of clients that pinged each 30 s were ended; here each 5.2 s, without a call."""
    heard = await _pinged(scene, workload, 5, 5.2)
    assert heard.count(b"pingpong") == 5
    assert b"too_many_pings" not in heard


async def test_a_client_that_floods_with_pings_is_cut_off(scene: GrpcSetup, workload: Pair) -> None:
    assert b"too_many_pings" in await _pinged(scene, workload, 6, 0.05)


def test_the_hardening_defaults_are_those_of_the_design() -> None:
    options = dict(OPTIONS)
    assert options["grpc.max_concurrent_streams"] == 100
    assert options["grpc.max_connection_age_ms"] == options["grpc.max_connection_age_grace_ms"] == 600_000
    assert options["grpc.http2.min_ping_interval_without_data_ms"] < 20_000  # clients may ping each 20 s
    assert options["grpc.keepalive_permit_without_calls"] == 1
    assert options["grpc.max_metadata_size"] == 8192
