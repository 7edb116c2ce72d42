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

    def __init__(self, behind: SealedSetup, source: CredentialSource) -> None:
        self.source = source
        self._behind = behind
        self.store = behind.store
        self.lock = behind.lock
        self.pass_ceiling = behind.pass_ceiling


@pytest.fixture
async def sealed(tmp_path: Path) -> AsyncIterator[SealedSetup]:
    setup = SealedSetup(tmp_path / "keys")
    yield setup
    await setup.source.aclose()


class TestRouter(CredentialSourceContract):
    """The contract."""

    adapter = CredentialRouter

    @pytest.fixture
    def rig(self, sealed: SealedSetup) -> Before:
        return Before(sealed, CredentialRouter(sealed.source, {}))


class TestMetered(CredentialSourceContract):
    """The contract."""

    adapter = MeteredKeys

    @pytest.fixture
    def rig(self, sealed: SealedSetup) -> Before:
        return Before(sealed, MeteredKeys(sealed.source, Metrics(), SystemClock()))


class Keyless:
    """Implements RefusingSetup."""

    source = DenyAllSource("There is no store.", "Configure one.")


class TestDenyAll(RefusingSourceContract):
    """The contract."""

    adapter = DenyAllSource

    @pytest.fixture
    def rig(self) -> Keyless:
        return Keyless()
