"""A real OPA keeps the contracts of an Authorizer and of an Explainer."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from broker.adapters.clock import SystemClock
from broker.adapters.opa import OpaAuthorizer, Sidecar
from tests.contracts.authorizer_contract import (
    AuthorizerContract,
    DistantEngineContract,
    ExplainerContract,
    write_policies,
)
from tests.opa.sidecar import RunningOpa, running_opa, unheard

pytestmark = pytest.mark.servers


class OpaSetup:
    """Implements DistantSetup."""

    deadline_seconds = (
        0.5  # a busy machine may take its time to answer; how long is no matter of the contract
    )

    def __init__(self, policies: Path, opa: RunningOpa) -> None:
        self.policies = policies
        self.engine = OpaAuthorizer(Sidecar(opa.url), SystemClock(), deadline_seconds=self.deadline_seconds)
        self._opa = opa

    def stop(self) -> None:
        self._opa.signal(signal.SIGSTOP)

    async def resume(self) -> None:
        self._opa.signal(signal.SIGCONT)
        await self.ready()

    async def ready(self) -> None:
        async with asyncio.timeout(20):
            while self.engine.unready():  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def opa(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, RunningOpa]]:
    directory = tmp_path_factory.mktemp("opa")
    policies = write_policies(directory / "policies")
    with running_opa(directory, policies=policies) as running:
        yield policies, running


@pytest.fixture
async def rig(opa: tuple[Path, RunningOpa]) -> AsyncIterator[OpaSetup]:
    setup = OpaSetup(*opa)
    await setup.engine.start(unheard)
    await setup.ready()
    yield setup
    await setup.engine.aclose()


class TestOpa(AuthorizerContract, DistantEngineContract):
    """The contract."""

    adapter = OpaAuthorizer


class TestOpaExplains(ExplainerContract, DistantEngineContract):
    """The contract."""

    adapter = OpaAuthorizer
