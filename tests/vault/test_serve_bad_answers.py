"""A serving broker at a Vault that is slow, busy, broken or talks nonsense: scripted, on TLS loopback."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.adapters.pki import DevPki
from tests.e2e.upstreams import simulator_process
from tests.running import RunningBroker
from tests.vault.fake import KEY, TOKEN, FakeVault, Scripted, Seen
from tests.vault.serving import PAUSE_SECONDS, Sections, start_serving
from tests.vault.test_bad_answers import FAULTS, JWT
from tests.vault.test_serve_outages import assert_refused, assert_well_again, chat, embed, rpc_chat

SERVED = ("slow", "busy", "internal error", "bad gateway", "forbidden", "html", "cut off", "dripping")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[FakeVault]:
    node = FakeVault(DevPki.load_or_create(tmp_path / "vault"))
    yield node
    node.close()


@pytest.fixture
def served(node: FakeVault, tmp_path: Path) -> Iterator[RunningBroker]:
    (tmp_path / "upstream.key").write_text(KEY)
    (tmp_path / "jwt").write_text(JWT)
    (tmp_path / "b").mkdir()
    vault = {"addresses": [node.address], "ca": str(node.ca), "auth": "jwt", "jwt": str(tmp_path / "jwt")}
    with simulator_process(tmp_path / "upstream.key") as url:
        sections: Sections = {"keys": {"adapter": "vault"}, "vault": vault}
        broker = start_serving(tmp_path / "b", f"{url}/v1", sections)
        try:
            yield broker
        finally:
            node.script = lambda _seen: None
            broker.stop()


def test_bad_answers_of_vault_cost_only_calls_without_a_held_key(
    node: FakeVault, served: RunningBroker
) -> None:
    assert chat(served).startswith("Echo")
    for name in SERVED:
        fault = FAULTS[name]
        node.script = lambda seen, fault=fault: fault if "/openai/other" in seen.path else None  # type: ignore[misc]
        assert_refused(served)
        node.script = lambda seen, fault=fault: fault if "/secret/" in seen.path else None  # type: ignore[misc]
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            assert chat(served).startswith("Echo"), name
            assert rpc_chat(served).startswith("Echo"), name
            time.sleep(PAUSE_SECONDS)
        node.script = _never_other
        assert_well_again(chat, served)
    node.script = lambda _seen: None
    assert_well_again(embed, served)
    said = served.errors.read_text()
    assert "vault_failing" in said
    assert [leak for leak in (KEY, TOKEN, JWT, "Traceback") if leak in said] == []


def _never_other(seen: Seen) -> Scripted | None:
    return FAULTS["sealed"] if "/openai/other" in seen.path else None
