"""The ledger of files, by a writer of each kind, and what stands before it, keep the contract."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import pytest

from broker.adapters.ledger.ledger import FileLedger
from broker.adapters.ledger.space import SpaceWatch
from broker.adapters.ledger.termed import TermLedger
from broker.adapters.repeated_refusals import CountedRefusals
from broker.adapters.telemetry import MeteredLedger, Metrics
from broker.ports import CallLedger
from tests.contracts.call_ledger_contract import CallLedgerContract
from tests.contracts.ledger_contract import LedgerContract
from tests.ledger.support import FaultyDisk, RealClock, opened
from tests.processes import children


@dataclass
class OnFaultyDisk:
    """Implements LedgerSetup: the writer is a thread on a disk that fails by name."""

    ledger: CallLedger
    disk: FaultyDisk

    def lose(self) -> None:
        self.disk.fail("fdatasync")

    def restore(self) -> None:
        self.disk._failing.clear()


@dataclass
class ByProcess:
    """Implements LedgerSetup: the writer is the process that the broker starts, and `pid` is its."""

    ledger: CallLedger
    pid: int

    def lose(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def restore(self) -> None:
        """A process that has ended is not started again."""


class OpensBoth(Protocol):
    """Opens a ledger that both contracts hold for."""

    def __call__(self, home: Path, /) -> AbstractAsyncContextManager[OnFaultyDisk | ByProcess]: ...


@asynccontextmanager
async def _by_process(home: Path, kind: type[FileLedger] = FileLedger) -> AsyncIterator[ByProcess]:
    before = set(children(os.getpid()))
    async with opened(home, kind=kind) as log:
        [pid] = set(children(os.getpid())) - before
        yield ByProcess(log, pid)


def _before(wrap: Callable[[CallLedger, Path], CallLedger]) -> OpensBoth:
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
    def open_ledger(self) -> OpensBoth:
        return _by_process


class TestOfSharedLimits(LedgerContract):
    """The contract."""

    adapter = TermLedger

    @pytest.fixture
    def open_ledger(self) -> OpensBoth:
        return partial(_by_process, kind=TermLedger)


class TestInProcess(LedgerContract):
    """The contract."""

    adapter = FileLedger

    @pytest.fixture
    def open_ledger(self) -> OpensBoth:
        return _before(lambda log, _home: log)


class TestMetered(LedgerContract):
    """The contract."""

    adapter = MeteredLedger

    @pytest.fixture
    def open_ledger(self) -> OpensBoth:
        return _before(_metered)


class TestCounted(LedgerContract):
    """The contract."""

    adapter = CountedRefusals

    @pytest.fixture
    def open_ledger(self) -> OpensBoth:
        return _before(_counted)


class TestSpaceWatch(LedgerContract):
    """The contract."""

    adapter = SpaceWatch

    @pytest.fixture
    def open_ledger(self) -> OpensBoth:
        return _before(_watched)


class TestCallsByProcess(CallLedgerContract):
    """The contract."""

    adapter = FileLedger

    @pytest.fixture
    def open_ledger(self) -> OpensBoth:
        return _by_process


class TestCallsOfSharedLimits(CallLedgerContract):
    """The contract, as long as no term has begun."""

    adapter = TermLedger

    @pytest.fixture
    def open_ledger(self) -> OpensBoth:
        return partial(_by_process, kind=TermLedger)


class TestCallsInProcess(CallLedgerContract):
    """The contract."""

    adapter = FileLedger

    @pytest.fixture
    def open_ledger(self) -> OpensBoth:
        return _before(lambda log, _home: log)


class TestMeteredCalls(CallLedgerContract):
    """The contract."""

    adapter = MeteredLedger

    @pytest.fixture
    def open_ledger(self) -> OpensBoth:
        return _before(_metered)


class TestCallsBesideCountedRefusals(CallLedgerContract):
    """The contract."""

    adapter = CountedRefusals

    @pytest.fixture
    def open_ledger(self) -> OpensBoth:
        return _before(_counted)


class TestCallsUnderSpaceWatch(CallLedgerContract):
    """The contract."""

    adapter = SpaceWatch

    @pytest.fixture
    def open_ledger(self) -> OpensBoth:
        return _before(_watched)


def _metered(log: CallLedger, _home: Path) -> CallLedger:
    return MeteredLedger(log, Metrics())


def _counted(log: CallLedger, _home: Path) -> CallLedger:
    return CountedRefusals(log, RealClock(), recorded=1)


def _watched(log: CallLedger, home: Path) -> CallLedger:
    return SpaceWatch(log, home, RealClock(), warn_bytes=0, floor_bytes=0)
