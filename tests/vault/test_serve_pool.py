"""A pool whose keys are in a real Vault: what an operator does to one key there, the pool's calls outlive."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.records import outcome
from tests.running import RunningBroker
from tests.vault.server import RealVault
from tests.vault.serving import serving

pytestmark = pytest.mark.servers

MEMBERS = {"openai": "sk-pooled-0123456789abcdef-first", "other": "sk-pooled-0123456789abcdef-other"}


@pytest.fixture
def broker(server: RealVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningBroker]:
    monkeypatch.setenv(
        "BROKER__POOLS", json.dumps({"openai": {"members": [{"key": name} for name in MEMBERS]}})
    )
    for name, key in MEMBERS.items():
        server.put(name, key)
    with serving(tmp_path / "b", server, tuple(MEMBERS.values())) as running:
        yield running


def served(broker: RunningBroker, times: int) -> Counter[str | None]:
    """How many of so many calls each key served; none may fail."""
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
    headers = {"authorization": f"Bearer {broker.token('assistant')}"}
    seen: Counter[str | None] = Counter()
    with broker.http("assistant") as client:
        for _ in range(times):
            reply = client.post("/v1/chat/completions", json=body, headers=headers)
            assert reply.status_code == 200, reply.text
            seen[outcome(broker.log, reply.headers["x-broker-call-id"]).key_ref] += 1
    return seen


def test_a_key_that_an_operator_takes_out_of_vault_costs_a_pool_no_call(
    server: RealVault, broker: RunningBroker
) -> None:
    first, other = "vault:secret/openai/openai", "vault:secret/openai/other"
    assert served(broker, 8) == {first: 4, other: 4}
    server.call("DELETE", "secret/metadata/openai/openai")
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        served(broker, 1)
    assert set(served(broker, 6)) == {other}
    server.put("openai", MEMBERS["openai"])
    time.sleep(2.5)
    assert set(served(broker, 8)) == {first, other}
