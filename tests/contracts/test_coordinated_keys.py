"""A worker's source of keys keeps the contract of the real one behind it, and asks it as seldom as may be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from socket import socketpair

import pytest

from broker.adapters.coordination import Channel, CoordinatedKeys, Members, lease_members
from broker.errors import BrokerError, Kind
from tests.contracts.credential_source_contract import KeyStoreSourceContract
from tests.keystore.fakes import SealedSetup

KEY = "sk-coordinated-0000"


class Coordinated(SealedSetup):
    """A worker's end, and the coordinator's with a sealed keystore behind it; `told` is what it was told."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.behind = self.source
        self.asked = 0
        self.told: list[tuple[str, Members]] = []
        self._coordinator = Channel(self._answer, lambda what, members: self.told.append((what, members)))
        self._worker = Channel(self._answer, lambda _what, _members: None)
        self.workers = CoordinatedKeys(self._worker, self.clock)
        self.source = self.workers  # type: ignore[assignment]

    async def open(self) -> None:
        ours, theirs = socketpair()
        await self._coordinator.open(ours)
        await self._worker.open(theirs)

    async def aclose(self) -> None:
        await self._coordinator.aclose()
        await self._worker.aclose()
        await self.behind.aclose()

    async def _answer(self, what: str, members: Members) -> Members:
        assert what == "lease"
        self.asked += 1
        return lease_members(await self.behind.lease(str(members["credential"])))


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Coordinated]:
    setup = Coordinated(tmp_path / "keys")
    await setup.open()
    yield setup
    await setup.aclose()


class TestCoordinated(KeyStoreSourceContract):
    """The contract."""

    adapter = CoordinatedKeys

    @pytest.fixture
    def rig(self, rig: Coordinated) -> Coordinated:
        return rig


async def test_calls_at_the_same_time_and_soon_after_ask_once(rig: Coordinated) -> None:
    rig.store("openai", KEY)
    await asyncio.gather(*(rig.source.lease("openai") for _ in range(100)))
    await rig.source.lease("openai")
    assert rig.asked == 1
    rig.clock.ns += 600_000_000
    await rig.source.lease("openai")
    assert rig.asked == 2


async def test_a_key_that_is_to_be_replaced_is_used_no_more_and_the_coordinator_hears_of_it(
    rig: Coordinated,
) -> None:
    rig.store("openai", KEY)
    await rig.source.lease("openai")
    rig.workers.revoke("openai")
    await rig.source.lease("openai")
    assert rig.asked == 2
    assert rig.told == [("revoke_key", {"credential": "openai"})]


async def test_a_refusal_is_not_kept(rig: Coordinated) -> None:
    for _ in range(2):
        with pytest.raises(BrokerError):
            await rig.source.lease("openai")
    rig.store("openai", KEY)
    await rig.pass_second()
    assert (await rig.source.lease("openai")).secret.reveal() == KEY


async def test_where_the_coordinator_is_gone_calls_are_refused_at_once(rig: Coordinated) -> None:
    rig.store("openai", KEY)
    await rig._coordinator.aclose()
    for _ in range(2):
        with pytest.raises(BrokerError) as refused:
            await asyncio.wait_for(rig.source.lease("openai"), 2)
        assert refused.value.kind is Kind.CREDENTIAL_STORE_UNAVAILABLE
