"""Certificates that are replaced on disk, and a broker that starts anew: a service's clients go on."""

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import orjson
import pytest

from broker.adapters.ledger.directory import LogDirectory
from broker.adapters.pki import DevPki
from broker.client import (
    Credentials,
    TokenRequest,
    aio_grpc_channel,
    async_openai_client,
    grpc_channel,
    openai_client,
)
from broker.client.renewal import Renewed
from broker.client.transport import RenewingTransport
from broker.gen.broker.v1 import openai_pb2, openai_pb2_grpc
from tests.ports import free_port
from tests.running import SMALL_POLICIES, RunningBroker, start_broker

WISH = TokenRequest(scope="models chat")
HELLO = [{"role": "user", "content": "hello"}]


@dataclass
class Service:
    """A service beside a real broker: its files, and how its certificate is replaced."""

    broker: RunningBroker
    credentials: Credentials

    def renew(self) -> None:
        """Another certificate and key of the same identity, the files one after the other."""
        pki = DevPki.load_or_create(self.broker.ca.parent, "dev.broker")
        who = self.broker.identities["assistant"]
        kept = [(path, path.read_bytes()) for path in (who.cert, who.key)]
        who.cert.unlink()
        made = pki.workload("assistant")
        for source, target in ((made.cert, self.credentials.cert), (made.key, self.credentials.key)):
            shutil.copyfile(source, f"{target}.new")
            Path(f"{target}.new").rename(target)
        for path, content in kept:
            path.write_bytes(content)


@pytest.fixture
def service(broker: RunningBroker, tmp_path: Path) -> Service:
    who = broker.identities["assistant"]
    for source, name in ((who.cert, "svc.pem"), (who.key, "svc.key")):
        shutil.copyfile(source, tmp_path / name)
    return Service(broker, Credentials(tmp_path / "svc.pem", tmp_path / "svc.key", broker.ca))


def shown(broker: RunningBroker) -> list[str]:
    """The certificates that the last calls were made with, as the log has them."""
    records = [orjson.loads(entry) for _, entry in LogDirectory(broker.log).entries()]
    return [record["cert_sha256"] for record in records if record["type"] == "outcome"]


def test_the_openai_client_presents_a_replaced_certificate(service: Service) -> None:
    """Token and calls move together: a token of the old certificate would be refused on the new one."""
    with openai_client(service.broker.https, service.credentials, WISH, max_retries=0) as client:
        for _ in range(2):
            client.chat.completions.create(model="gpt-4o", messages=HELLO)  # type: ignore[arg-type]
            before = shown(service.broker)[-1]
            service.renew()
            client.chat.completions.create(model="gpt-4o", messages=HELLO)  # type: ignore[arg-type]
            assert shown(service.broker)[-1] != before


async def test_the_async_openai_client_presents_a_replaced_certificate(service: Service) -> None:
    async with async_openai_client(service.broker.https, service.credentials, WISH, max_retries=0) as client:
        for _ in range(3):
            await client.chat.completions.create(model="gpt-4o", messages=HELLO)  # type: ignore[arg-type]
            before = shown(service.broker)[-1]
            service.renew()
            await client.chat.completions.create(model="gpt-4o", messages=HELLO)  # type: ignore[arg-type]
            assert shown(service.broker)[-1] != before


def _list_models(channel: grpc.Channel) -> None:
    openai_pb2_grpc.OpenAIServiceStub(channel).ListModels(openai_pb2.ListModelsRequest(), timeout=20)


def test_the_channel_presents_a_replaced_certificate(service: Service) -> None:
    with grpc_channel(service.broker.grpc, service.broker.https, service.credentials, WISH) as channel:
        stub = openai_pb2_grpc.OpenAIServiceStub(channel)
        for _ in range(2):
            stub.ListModels(openai_pb2.ListModelsRequest(), timeout=20)
            before = shown(service.broker)[-1]
            service.renew()
            stub.ListModels(openai_pb2.ListModelsRequest(), timeout=20)
            assert shown(service.broker)[-1] != before


async def test_the_aio_channel_presents_a_replaced_certificate(service: Service) -> None:
    opened = aio_grpc_channel(service.broker.grpc, service.broker.https, service.credentials, WISH)
    async with opened as channel:
        stub = openai_pb2_grpc.OpenAIServiceStub(channel)
        await stub.ListModels(openai_pb2.ListModelsRequest(), timeout=20)
        before = shown(service.broker)[-1]
        service.renew()
        await stub.ListModels(openai_pb2.ListModelsRequest(), timeout=20)
        assert shown(service.broker)[-1] != before


def test_files_that_do_not_fit_together_leave_the_old_ones_in_use(service: Service, tmp_path: Path) -> None:
    """Between the two files of a replacement, and after a broken one."""
    used = Renewed(service.credentials, service.credentials.ssl_context)
    first = used.current()
    kept = Path(service.credentials.key).read_bytes()
    Path(service.credentials.key).write_bytes(b"broken")
    assert used.current() is first
    Path(service.credentials.key).unlink()
    assert used.current() is first
    Path(service.credentials.key).write_bytes(kept)
    assert used.current() is not first
    assert used.outdated() == []
    service.renew()
    used.current()
    assert used.outdated() == [first]


def test_a_transport_that_is_shared_by_threads_renews_once(service: Service) -> None:
    made: list[object] = []
    used = Renewed(service.credentials, lambda: made.append(object()))
    service.renew()
    threads = [threading.Thread(target=used.current) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 2


def test_calls_go_on_over_a_restart_of_the_broker(tmp_path: Path) -> None:
    """The channel's first call after a restart failed: it had given up connecting for up to two minutes."""
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    arguments = ["--https", addresses[0], "--grpc", addresses[1], *SMALL_POLICIES]
    running = start_broker(tmp_path / "b", *arguments)
    who = running.identities["assistant"]
    credentials = Credentials(who.cert, who.key, running.ca)
    with grpc_channel(addresses[1], running.https, credentials, WISH) as channel:
        try:
            _list_models(channel)
        finally:
            running.stop()
        ends = time.monotonic() + 5  # long enough for grpc's own pauses to grow beyond what follows
        while time.monotonic() < ends:
            with pytest.raises(grpc.RpcError) as caught:
                _list_models(channel)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            time.sleep(0.2)
        running = start_broker(tmp_path / "b", *arguments)
        try:
            time.sleep(1.5)
            _list_models(channel)
        finally:
            running.stop()


def test_a_plain_httpx_client_takes_the_transport(service: Service) -> None:
    with httpx.Client(transport=RenewingTransport(service.credentials), trust_env=False) as client:
        for _ in range(3):
            assert client.get(f"{service.broker.https}/readyz").status_code == 200
            service.renew()
