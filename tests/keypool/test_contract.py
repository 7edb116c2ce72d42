"""Pooled keys, and a lone one behind the same port, keep the contract of a KeyPool."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from broker.adapters.keypool import PooledKeys
from broker.model.pool import Member
from broker.model.record import Record
from tests.contracts.key_pool_contract import KeyPoolContract
from tests.keypool.fakes import PoolSetup


class ContractPool(PoolSetup):
    """Implements KeyPoolSetup."""

    def __init__(self) -> None:
        super().__init__(Member("a"), Member("b", region="eu"))

    def rotate(self, key: str) -> None:
        self.source.versions[key] += 1

    def withhold(self, *keys: str) -> None:
        self.source.away.update(keys)

    async def recorded(self) -> Sequence[Record]:
        await self.settle()
        return self.ledger.records


@pytest.fixture
async def rig() -> AsyncIterator[ContractPool]:
    setup = ContractPool()
    yield setup
    await setup.keys.aclose()


class TestPooledKeys(KeyPoolContract):
    """The contract."""

    adapter = PooledKeys
