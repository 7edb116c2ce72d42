"""What every Clock must do."""

from __future__ import annotations

import asyncio
import time

import pytest

from broker.ports import Clock
from tests.contracts.port_contract import PortContract

_MANY = 10_000


class ClockContract(PortContract):
    """Needs a fixture `clock`."""

    port = Clock

    async def test_it_is_the_adapter_that_is_named(self, clock: Clock) -> None:
        self.under_test(clock)

    async def test_now_is_unix_time(self, clock: Clock) -> None:
        assert abs(clock.now_ns() - time.time_ns()) < 10**9

    async def test_monotonic_time_never_goes_back(self, clock: Clock) -> None:
        seen = [clock.monotonic_ns() for _ in range(_MANY)]
        assert seen == sorted(seen)

    async def test_a_sleep_takes_its_time_and_holds_up_nobody(self, clock: Clock) -> None:
        began = clock.monotonic_ns()
        sleeping = asyncio.ensure_future(clock.sleep(0.05))
        await asyncio.sleep(0)
        assert not sleeping.done()
        await sleeping
        assert 0.05e9 <= clock.monotonic_ns() - began < 2e9

    @pytest.mark.parametrize("size", [0, 1, 16, 4095, 4096, 4097, 100_000])
    async def test_so_many_random_bytes_as_are_asked_for(self, clock: Clock, size: int) -> None:
        assert [len(clock.random_bytes(size)) for _ in range(3)] == [size] * 3

    async def test_no_random_bytes_are_given_twice(self, clock: Clock) -> None:
        drawn = [clock.random_bytes(16) for _ in range(_MANY)]
        assert len({*drawn}) == _MANY
        assert len({draw[:8] for draw in drawn} | {draw[8:] for draw in drawn}) == 2 * _MANY
