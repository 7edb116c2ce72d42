"""Vault as a KeyVault: the contract that the sealed keystore also keeps."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest

from tests.contracts.keyvault_contract import KeyVaultContract
from tests.vault.rig import RealRig
from tests.vault.server import RealVault

pytestmark = pytest.mark.servers


@pytest.fixture
async def rig(server: RealVault) -> AsyncIterator[RealRig]:
    rig = RealRig(server, f"contract-{uuid.uuid4().hex}")
    yield rig
    await rig.vault.aclose()


class TestVault(KeyVaultContract):
    """The contract."""
