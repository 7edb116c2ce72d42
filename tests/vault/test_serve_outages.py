"""Vault breaks under a serving broker: calls with a held key go on, others get 503 in time, all recovers.

A real `broker serve` on a real Vault, over HTTPS with the OpenAI SDK and over gRPC.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import openai
import pytest

from broker.client import grpc_channel
from broker.gen.broker.v1 import common_pb2, openai_pb2, openai_pb2_grpc
from tests import plain
from tests.running import RunningBroker
from tests.vault.server import RealVault
from tests.vault.serving import PAUSE_SECONDS, credentials, sdk, serving, start_serving, vault_sections
from tests.vault.setups import BACK_SECONDS, REFUSED_SECONDS
from tests.vault.test_outages import OUTAGES

pytestmark = pytest.mark.servers

KEYS = ("sk-served-openai-000000000001", "sk-served-other-0000000000002")


@pytest.fixture(scope="module")
def served(real_vault: RealVault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    with serving(tmp_path_factory.mktemp("served") / "b", real_vault, KEYS) as broker:
        yield broker


def chat(broker: RunningBroker) -> str:
    """A call with the credential `openai`, over HTTPS."""
    with sdk(broker, "assistant") as client:
        reply = client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "hi"}]
        )
    return reply.choices[0].message.content or ""


def rpc_chat(broker: RunningBroker) -> str:
    """The same over gRPC."""
    said = openai_pb2.CreateChatCompletionRequest(model="gpt-4o-mini")
    said.messages.add(role=common_pb2.ROLE_USER, content={"text": "hi"})
    with grpc_channel(broker.grpc, broker.https, credentials(broker, "assistant")) as channel:
        reply = openai_pb2_grpc.OpenAIServiceStub(channel).CreateChatCompletion(said, timeout=10)
    return reply.choices[0].message.content.text


def embed(broker: RunningBroker) -> int:
    """A call with the credential `other`, over HTTPS."""
    with sdk(broker, "batch") as client:
        return len(client.embeddings.create(model="text-embedding-3-small", input="hi").data)


def rpc_embed(broker: RunningBroker) -> int:
    """The same over gRPC."""
    asked = openai_pb2.CreateEmbeddingsRequest(model="text-embedding-3-small")
    asked.input.text = "hi"
    with grpc_channel(broker.grpc, broker.https, credentials(broker, "batch")) as channel:
        return len(openai_pb2_grpc.OpenAIServiceStub(channel).CreateEmbeddings(asked, timeout=10).data)


def assert_refused(broker: RunningBroker) -> None:
    """Through both listeners in time, with a reason and a time to come back; and said nothing of Vault's."""
    broker.token("batch")
    began = time.monotonic()
    with pytest.raises(openai.InternalServerError) as refused:
        embed(broker)
    assert time.monotonic() - began < REFUSED_SECONDS
    assert refused.value.status_code == 503
    assert refused.value.code == "credential_store_unavailable"
    assert int(refused.value.response.headers["retry-after"]) >= 1
    with pytest.raises(grpc.RpcError) as failed:
        rpc_embed(broker)
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "RetryInfo" in str(failed.value.trailing_metadata())


def assert_well_again(call: Callable[[RunningBroker], object], broker: RunningBroker) -> None:
    until = time.monotonic() + BACK_SECONDS
    while True:
        try:
            call(broker)
        except openai.InternalServerError:
            assert time.monotonic() < until, "no recovery"
            time.sleep(0.1)
        else:
            return


@pytest.mark.parametrize("outage", OUTAGES)
def test_a_serving_broker_outlives_an_outage_of_vault(
    server: RealVault, served: RunningBroker, outage: str
) -> None:
    broken, repaired = OUTAGES[outage]
    server.put("openai", KEYS[0])
    server.call("DELETE", "secret/metadata/openai/other")
    assert_well_again(chat, served)
    time.sleep(1.05)
    assert_refused(served)  # it is gone: from now on nothing is held of it
    time.sleep(3.5)  # and nobody asks for it any more
    server.put("other", KEYS[1])
    broken(server)
    began = time.monotonic()
    while time.monotonic() < began + 3:
        assert chat(served).startswith("Echo")
        assert rpc_chat(served).startswith("Echo")
        time.sleep(PAUSE_SECONDS)
    assert_refused(served)
    ready = plain.get(f"{served.console}/readyz")
    assert ready.status_code == 200
    assert ready.text.startswith("ready\nkey store: Vault")
    assert "broker_key_store_up 0.0" in plain.get(f"{served.console}/metrics").text
    repaired(server)
    assert_well_again(embed, served)
    assert chat(served).startswith("Echo")
    assert served.process.poll() is None
    assert "Traceback" not in served.errors.read_text()


def test_a_broker_that_starts_without_vault_waits_for_it(
    server: RealVault, served: RunningBroker, tmp_path: Path
) -> None:
    server.put("openai", KEYS[0])
    role = server.approle("late-vault")
    (tmp_path / "b").mkdir()
    server.seal()
    broker = start_serving(tmp_path / "b", served.upstream, vault_sections(server, role))
    try:
        unready = plain.get(f"{broker.console}/readyz")
        assert (unready.status_code, unready.text.startswith("key store (Vault: ")) == (503, True)
        with pytest.raises(openai.InternalServerError):
            chat(broker)
        server.unseal()
        assert_well_again(chat, broker)
        until = time.monotonic() + BACK_SECONDS
        while plain.get(f"{broker.console}/readyz").text != "ready\n":
            assert time.monotonic() < until
            time.sleep(0.1)
        said = broker.errors.read_text()
        assert "vault_failing" in said
        assert "vault_restored" in said
    finally:
        broker.stop()
