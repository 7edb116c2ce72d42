"""What stands before a source of keys, or in place of one, keeps the contract of a CredentialSource."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.adapters.clock import SystemClock
from broker.adapters.credential_router import CredentialRouter, DenyAllSource
from broker.adapters.telemetry import Metrics
from broker.adapters.telemetry.metrics import MeteredKeys
from broker.ports import CredentialSource
from tests.contracts.credential_source_contract import CredentialSourceContract, RefusingSourceContract
from tests.keystore.fakes import SealedSetup


class Before:
    """Implements SourceSetup: a source that stands before a sealed keystore."""

    def __init__(self, behind: SealedSetup, vault: CredentialSource) -> None:
        self.vault = vault
        self._behind = behind
        self.store = behind.store
        self.lock = behind.lock
        self.pass_ceiling = behind.pass_ceiling


@pytest.fixture
async def sealed(tmp_path: Path) -> AsyncIterator[SealedSetup]:
    setup = SealedSetup(tmp_path / "keys")
    yield setup
    await setup.vault.aclose()


class TestRouter(CredentialSourceContract):
    """The contract."""

    adapter = CredentialRouter

    @pytest.fixture
    def rig(self, sealed: SealedSetup) -> Before:
        return Before(sealed, CredentialRouter(sealed.vault, {}))


class TestMetered(CredentialSourceContract):
    """The contract."""

    adapter = MeteredKeys

    @pytest.fixture
    def rig(self, sealed: SealedSetup) -> Before:
        return Before(sealed, MeteredKeys(sealed.vault, Metrics(), SystemClock()))


class Keyless:
    """Implements RefusingSetup."""

    vault = DenyAllSource("There is no store.", "Configure one.")


class TestDenyAll(RefusingSourceContract):
    """The contract."""

    adapter = DenyAllSource

    @pytest.fixture
    def rig(self) -> Keyless:
        return Keyless()
