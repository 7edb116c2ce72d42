"""A machine's ledger on a real store keeps the contract, in each of the machine's processes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from broker.adapters.state.reading import SharedLimitReader
from broker.adapters.state.sharedledger import SharedLedger
from tests.contracts.call_ledger_contract import CallLedgerContract, OpensCallLedger
from tests.contracts.ledger_contract import LedgerContract, OpensLedger
from tests.contracts.limit_reader_contract import LimitReaderContract, LimitsRead, OpensLimits
from tests.state.machines import Machine, machine
from tests.state.server import RealStore

pytestmark = pytest.mark.servers


@dataclass
class OfWorker:
    """Implements CallLedgerSetup: another process of the machine."""

    ledger: SharedLedger
    machine: Machine

    def lose(self) -> None:
        self.machine.lose()


class TestSharedLedger(CallLedgerContract):
    """The contract."""

    adapter = SharedLedger

    @pytest.fixture
    def open_ledger(self, shared_store: RealStore) -> OpensCallLedger:
        return partial(machine, server=shared_store)


class TestSharedLedgersLog(LedgerContract):
    """The contract."""

    adapter = SharedLedger

    @pytest.fixture
    def open_ledger(self, shared_store: RealStore) -> OpensLedger:
        return partial(machine, server=shared_store)


class TestSharedLedgerOfWorker(CallLedgerContract):
    """The contract."""

    adapter = SharedLedger

    @pytest.fixture
    def open_ledger(self, shared_store: RealStore) -> OpensCallLedger:
        @asynccontextmanager
        async def open_ledger(home: Path) -> AsyncIterator[OfWorker]:
            async with machine(home, shared_store) as opened, opened.worker() as worker:
                yield OfWorker(worker.ledger, opened)

        return open_ledger


class TestSharedLimitReader(LimitReaderContract):
    """The contract."""

    adapter = SharedLimitReader

    @pytest.fixture
    def open_limits(self, shared_store: RealStore) -> OpensLimits:
        @asynccontextmanager
        async def open_limits(home: Path) -> AsyncIterator[LimitsRead]:
            async with machine(home, shared_store) as opened:
                yield LimitsRead(opened.state.limits, opened.ledger)

        return open_limits
