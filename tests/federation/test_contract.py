"""Workload identity as a KeyVault: what of the contract does not suppose a store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contracts.keyvault_contract import KeySourceContract
from tests.federation.rig import Rig


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    await rig.vault.aclose()


class TestFederated(KeySourceContract):
    """The contract."""
