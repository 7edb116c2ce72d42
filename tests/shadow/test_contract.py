"""The shadow of a candidate keeps the contract of a DecisionObserver."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.adapters.ledger.ledger import FileLedger
from broker.adapters.shadow import ShadowObserver
from broker.errors import BrokerError, Kind
from broker.model.decision import PolicyVersion
from broker.model.record import RecordType
from broker.ports import DecisionPoint, Evaluation
from tests.contracts.decision_observer_contract import DecisionObserverContract
from tests.ledger.support import FaultyDisk, RealClock, entries, opened


class _Candidate:
    """Decides nothing; waits or fails as it is told."""

    version = PolicyVersion("candidate", "2" * 64)

    def __init__(self) -> None:
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.fails = False

    async def evaluate(self, point: DecisionPoint, document: dict[str, object]) -> Evaluation:  # noqa: ARG002 - the port's
        self.goes_on.wait(30)
        if self.fails:
            raise BrokerError(Kind.POLICY_ENGINE_UNAVAILABLE, "no")
        return Evaluation(None, self.version)


class ShadowSetup:
    """Implements ObserverSetup on a real log."""

    def __init__(self, home: Path, ledger: FileLedger, disk: FaultyDisk) -> None:
        self.candidate = _Candidate()
        self.observer = ShadowObserver(self.candidate, ledger, RealClock(), sample=1.0, deadline_seconds=0.05)
        self._home = home
        self._disk = disk

    async def seen(self, number: int) -> list[str]:
        found: list[str] = []
        async with asyncio.timeout(10):
            while len(found) < number:
                await asyncio.sleep(0.02)
                held = [entry.record for entry in entries(self._home)]
                found = [record.call_id for record in held if record.type is RecordType.SHADOW]
        return found

    def hang(self) -> None:
        self.candidate.goes_on.clear()

    def break_down(self) -> None:
        self.candidate.fails = True
        self._disk.fail("fdatasync")


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[ShadowSetup]:
    disk = FaultyDisk()
    async with opened(tmp_path, disk=disk) as log:
        setup = ShadowSetup(tmp_path, log, disk)
        setup.observer.start()
        yield setup
        setup.candidate.goes_on.set()
        await setup.observer.aclose()


class TestShadow(DecisionObserverContract):
    """The contract."""

    adapter = ShadowObserver
