"""The embedded engine, alone, behind its watch and behind the cache of decisions, keeps its contracts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from broker.adapters.clock import SystemClock
from broker.adapters.decision_cache import CachingAuthorizer
from broker.adapters.rego import EmbeddedAuthorizer
from broker.adapters.rego.origin import Folder
from broker.adapters.rego.proof import Prover, prove, unproven
from broker.adapters.rego.reloading import ReloadingAuthorizer
from broker.identity.revocation import RevocationSet
from tests.contracts.authorizer_contract import AuthorizerContract, ExplainerContract, write_policies


@dataclass
class Engine:
    """Implements EngineSetup."""

    policies: Path
    engine: object


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_policies(tmp_path_factory.mktemp("engine") / "policies")


@pytest.fixture(scope="module", params=[unproven, prove], ids=["whole", "sliced"])
def embedded(policies: Path, request: pytest.FixtureRequest) -> EmbeddedAuthorizer:
    prover: Prover = request.param
    return EmbeddedAuthorizer(policies, prover)


@pytest.fixture(scope="module")
def reloading(policies: Path) -> ReloadingAuthorizer:
    return ReloadingAuthorizer(Folder(policies), SystemClock())


class _Embedded:
    adapter: ClassVar[type] = EmbeddedAuthorizer

    @pytest.fixture
    def rig(self, policies: Path, embedded: EmbeddedAuthorizer) -> Engine:
        return Engine(policies, embedded)


class TestEmbedded(_Embedded, AuthorizerContract):
    """The contract."""


class TestEmbeddedExplains(_Embedded, ExplainerContract):
    """The contract."""


class _Reloading:
    adapter: ClassVar[type] = ReloadingAuthorizer

    @pytest.fixture
    def rig(self, policies: Path, reloading: ReloadingAuthorizer) -> Engine:
        return Engine(policies, reloading)


class TestReloading(_Reloading, AuthorizerContract):
    """The contract."""


class TestReloadingExplains(_Reloading, ExplainerContract):
    """The contract."""


class TestCaching(AuthorizerContract):
    """The contract."""

    adapter = CachingAuthorizer

    @pytest.fixture
    def rig(self, policies: Path, embedded: EmbeddedAuthorizer) -> Engine:
        return Engine(policies, CachingAuthorizer(embedded, RevocationSet(), SystemClock()))
