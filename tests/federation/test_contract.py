"""Workload identity as a CredentialSource: what of the contract does not suppose a store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.adapters.ephemeral_keys.federation import FederatedKeySource
from tests.contracts.credential_source_contract import CredentialSourceContract
from tests.federation.fakes import FederatedSetup


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[FederatedSetup]:
    rig = FederatedSetup(tmp_path)
    yield rig
    await rig.source.aclose()


class TestFederated(CredentialSourceContract):
    """The contract."""

    adapter = FederatedKeySource
