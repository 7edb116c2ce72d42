"""The system's clock keeps the port's contract."""

from __future__ import annotations

import pytest

from broker.adapters.clock import SystemClock
from tests.contracts.clock_contract import ClockContract


@pytest.fixture
def clock() -> SystemClock:
    return SystemClock()


class TestSystemClock(ClockContract):
    """The contract."""

    adapter = SystemClock
