"""Which source a credential's key comes from, and in which order sources live and end."""

from __future__ import annotations

import pytest

from broker.adapters.credential_router import CredentialRouter, DenyAllSource
from broker.errors import BrokerError, Kind
from broker.model.secret import Lease, Secret


class ScriptedSource:
    """Says what happens to it."""

    def __init__(self, name: str, told: list[str], unready: str = "", trouble: str = "") -> None:
        self.name = name
        self.told = told
        self._unready = unready
        self._trouble = trouble

    async def lease(self, credential: str) -> Lease:
        return Lease(f"{self.name}:{credential}", 1, Secret("sk-made-up"))

    def revoke(self, credential: str) -> None:
        self.told.append(f"{self.name} revokes {credential}")

    async def start(self) -> None:
        self.told.append(f"{self.name} starts")

    async def aclose(self) -> None:
        self.told.append(f"{self.name} ends")

    def unready(self) -> str:
        return self._unready

    def trouble(self) -> str:
        return self._trouble


async def test_a_credential_has_its_source_and_all_others_the_store() -> None:
    told: list[str] = []
    store, made = ScriptedSource("store", told), ScriptedSource("made", told)
    keys = CredentialRouter(store, {"chat": made, "batch": made})
    assert [(await keys.lease(name)).key_ref for name in ("chat", "batch", "openai")] == [
        "made:chat",
        "made:batch",
        "store:openai",
    ]
    keys.revoke("chat")
    keys.revoke("openai")
    assert told == ["made revokes chat"]


async def test_the_store_is_there_as_long_as_any_source_needs_it() -> None:
    told: list[str] = []
    made = ScriptedSource("made", told)
    keys = CredentialRouter(ScriptedSource("store", told), {"chat": made, "batch": made})
    await keys.start()
    await keys.aclose()
    assert told == ["store starts", "made starts", "made ends", "store ends"]


def test_one_source_that_works_makes_it_ready_and_all_trouble_is_told() -> None:
    told: list[str] = []
    well = ScriptedSource("well", told)
    ill = ScriptedSource("ill", told, "no login", "no login")
    assert CredentialRouter(ill, {"chat": well}).unready() == ""
    assert CredentialRouter(well, {"chat": ill}).trouble() == "no login"
    assert CredentialRouter(ill, {"chat": ill}).unready() == "no login; no login"
    assert CredentialRouter(DenyAllSource("no store", ""), {"chat": ill}).unready() == "no store; no login"


async def test_where_there_are_no_keys_it_is_told() -> None:
    keys = CredentialRouter(DenyAllSource("No store.", "Configure one."), {})
    with pytest.raises(BrokerError, match="No store") as caught:
        await keys.lease("openai")
    assert caught.value.kind is Kind.CREDENTIAL_STORE_UNAVAILABLE
    assert caught.value.remedy == "Configure one."
    assert caught.value.retry_after
