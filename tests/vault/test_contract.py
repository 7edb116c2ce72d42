"""Vault as a CredentialSource: the contract that the sealed keystore also keeps."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest

from broker.adapters.vault import VaultKeySource
from tests.contracts.credential_source_contract import KeyStoreSourceContract
from tests.vault.server import RealVault
from tests.vault.setups import VaultSetup

pytestmark = pytest.mark.servers


@pytest.fixture
async def rig(server: RealVault) -> AsyncIterator[VaultSetup]:
    rig = VaultSetup(server, f"contract-{uuid.uuid4().hex}")
    yield rig
    await rig.source.aclose()


class TestVault(KeyStoreSourceContract):
    """The contract."""

    adapter = VaultKeySource
