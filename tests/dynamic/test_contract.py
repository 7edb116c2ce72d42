"""Dynamic keys as a KeyVault: what of the contract does not suppose a store."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from broker.adapters.dynamic import DynamicKey
from tests.contracts.keyvault_contract import KeySourceContract
from tests.dynamic.rig import PROJECT, Rig
from tests.shortlived.wire import Fault


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig({"openai": DynamicKey(PROJECT), "other": DynamicKey("proj_other")})
    yield rig
    rig.wire.fault = Fault.NONE
    await rig.vault.aclose()


class TestDynamic(KeySourceContract):
    """The contract."""
