"""The sealed keystore as an operator works on it: the contract that Vault also keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.adapters.keystore import SealedStore
from tests.contracts.key_store_contract import KeyStoreContract
from tests.keystore.fakes import SealedSetup


class SealedKeys:
    """Implements KeysSetup over a real folder."""

    def __init__(self, directory: Path) -> None:
        self._setup = SealedSetup(directory)
        self.keys = SealedStore(directory)

    def another(self) -> SealedStore:
        return SealedStore(self._setup.directory)

    async def leased(self, credential: str) -> tuple[str, int]:
        await self._setup.pass_second()
        lease = await self._setup.source.lease(credential)
        return lease.secret.reveal(), lease.key_version

    def lock(self) -> None:
        self._setup.lock()


@pytest.fixture
def rig(tmp_path: Path) -> SealedKeys:
    return SealedKeys(tmp_path / "keys")


class TestSealedStore(KeyStoreContract):
    """The contract."""

    adapter = SealedStore
