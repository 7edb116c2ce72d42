"""The contract of ports.LimitReader, on every adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from broker.adapters.ledger.limitqueries import LimitQueries
from tests.contracts.limit_reader_contract import LimitReaderContract, LimitsRead, OpensLimits
from tests.ledger.support import opened


@asynccontextmanager
async def _by_process(home: Path) -> AsyncIterator[LimitsRead]:
    async with opened(home) as log:
        yield LimitsRead(log.limits, log)


class TestLimitsOfAWriter(LimitReaderContract):
    """The contract."""

    adapter = LimitQueries

    @pytest.fixture
    def open_limits(self) -> OpensLimits:
        return _by_process
