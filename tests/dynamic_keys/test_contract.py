"""Dynamic keys as a CredentialSource: what of the contract does not suppose a store."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from broker.adapters.ephemeral_keys.dynamic import DynamicKey, DynamicKeySource
from tests.contracts.credential_source_contract import CredentialSourceContract
from tests.dynamic_keys.fakes import PROJECT, DynamicSetup
from tests.ephemeral_keys.network import Fault


@pytest.fixture
async def rig() -> AsyncIterator[DynamicSetup]:
    rig = DynamicSetup({"openai": DynamicKey(PROJECT), "other": DynamicKey("proj_other")})
    yield rig
    rig.wire.fault = Fault.NONE
    await rig.source.aclose()


class TestDynamic(CredentialSourceContract):
    """The contract."""

    adapter = DynamicKeySource
