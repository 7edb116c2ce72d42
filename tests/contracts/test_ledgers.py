"""The ledger of files, by a writer of each kind, and what stands before it, keep the contract."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from broker.adapters.ledger import FileLedger
from broker.adapters.ledger.space import SpaceWatch
from broker.adapters.repeated_refusals import CountedRefusals
from broker.adapters.telemetry import MeteredLedger, Metrics
from broker.ports import Ledger
from tests.contracts.ledger_contract import LedgerContract, OpensLedger
from tests.ledger.support import FaultyDisk, RealClock, opened
from tests.processes import children


@dataclass
class OnFaultyDisk:
    """Implements LedgerSetup: the writer is a thread on a disk that fails by name."""

    ledger: Ledger
    disk: FaultyDisk

    def lose(self) -> None:
        self.disk.fail("fdatasync")

    def restore(self) -> None:
        self.disk._failing.clear()


@dataclass
class ByProcess:
    """Implements LedgerSetup: the writer is the process that the broker starts, and `pid` is its."""

    ledger: Ledger
    pid: int

    def lose(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def restore(self) -> None:
        """A process that has ended is not started again."""


@asynccontextmanager
async def _by_process(home: Path) -> AsyncIterator[ByProcess]:
    before = set(children(os.getpid()))
    async with opened(home) as log:
        [pid] = set(children(os.getpid())) - before
        yield ByProcess(log, pid)


def _before(wrap: Callable[[Ledger, Path], Ledger]) -> OpensLedger:
    """Opens a ledger that stands before one of files."""

    @asynccontextmanager
    async def open_ledger(home: Path) -> AsyncIterator[OnFaultyDisk]:
        disk = FaultyDisk()
        async with opened(home, disk=disk) as log:
            yield OnFaultyDisk(wrap(log, home), disk)

    return open_ledger


class TestWritersProcess(LedgerContract):
    """The contract."""

    adapter = FileLedger

    @pytest.fixture
    def open_ledger(self) -> OpensLedger:
        return _by_process


class TestInProcess(LedgerContract):
    """The contract."""

    adapter = FileLedger

    @pytest.fixture
    def open_ledger(self) -> OpensLedger:
        return _before(lambda log, _home: log)


class TestMetered(LedgerContract):
    """The contract."""

    adapter = MeteredLedger

    @pytest.fixture
    def open_ledger(self) -> OpensLedger:
        return _before(lambda log, _home: MeteredLedger(log, Metrics()))


class TestCounted(LedgerContract):
    """The contract."""

    adapter = CountedRefusals

    @pytest.fixture
    def open_ledger(self) -> OpensLedger:
        return _before(lambda log, _home: CountedRefusals(log, RealClock(), recorded=1))


class TestSpaceWatch(LedgerContract):
    """The contract."""

    adapter = SpaceWatch

    @pytest.fixture
    def open_ledger(self) -> OpensLedger:
        return _before(lambda log, home: SpaceWatch(log, home, RealClock(), warn_bytes=0, floor_bytes=0))
