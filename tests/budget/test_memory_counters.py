"""The counters in memory keep the port's contract, and do not grow for ever."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from broker.adapters.counters import MemoryCounters
from broker.errors import BrokerError, Kind
from broker.model.charge import Unit
from broker.ports import Counters
from tests.contracts.counters_contract import MINUTE, CountersContract, CountersSetup, charge

_NS = 1_000_000_000


@dataclass
class HandClock:
    """A clock that moves when told. It starts in the middle of a minute."""

    seconds: float = 1_795_472_005.5

    def now_ns(self) -> int:
        return int(self.seconds * _NS)

    def monotonic_ns(self) -> int:
        return self.now_ns()

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def random_bytes(self, size: int) -> bytes:
        return bytes(size)


@dataclass
class MemorySetup:
    """Counters on a clock that the test moves."""

    clock: HandClock = field(default_factory=HandClock)

    def __post_init__(self) -> None:
        self.counters: Counters = MemoryCounters(self.clock)

    async def pass_seconds(self, seconds: float) -> None:
        await self.clock.sleep(seconds)


class TestMemoryCounters(CountersContract):
    """The contract."""

    adapter = MemoryCounters

    async def fresh(self) -> CountersSetup:
        return MemorySetup()


async def test_a_flood_of_accounts_is_forgotten_with_its_window() -> None:
    clock = HandClock()
    counters = MemoryCounters(clock)
    for number in range(10_000):
        await counters.reserve([charge(f"account {number}", 1, 1)])
    await clock.sleep(MINUTE)
    await counters.reserve([charge("one more", 1, 1)])
    assert len(counters._windows) == 1


async def test_many_live_windows_are_not_looked_through_for_each_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counters, swept = MemoryCounters(HandClock()), list[int]()
    sweep = MemoryCounters._sweep

    def counted(self: MemoryCounters, now_ns: int) -> None:
        swept.append(now_ns)
        sweep(self, now_ns)

    monkeypatch.setattr(MemoryCounters, "_sweep", counted)
    for number in range(25_000):
        await counters.reserve([charge(f"account {number}", 1, 1)])
    assert len(swept) == 2
    assert len(counters._windows) == 25_000


async def test_what_was_spent_before_counts_and_its_window_ends_as_if_nothing_had_been() -> None:
    clock = HandClock()
    before = MemoryCounters(clock)
    reserved = await before.reserve([charge("a", 7, 10), charge("b", 3, 10, Unit.TOKENS)])
    after = MemoryCounters(clock, reserved.taken)
    refused = []
    for counters in (before, after):
        with pytest.raises(BrokerError) as caught:
            await counters.reserve([charge("a", 4, 10)])
        refused.append((caught.value.kind, caught.value.message, caught.value.remedy, caught.value.details))
    assert refused[0] == refused[1]
    await after.reserve([charge("a", 3, 10), charge("b", 7, 10, Unit.TOKENS)])
    await clock.sleep(MINUTE)
    await after.reserve([charge("a", 10, 10)])


async def test_a_window_that_ends_after_all_calendars_refuses_as_others_do() -> None:
    counters = MemoryCounters(HandClock())
    with pytest.raises(BrokerError) as caught:
        await counters.reserve([charge("a", 2, 1, window=2**53 - 1)])
    assert caught.value.kind is Kind.RATE_LIMITED
    assert caught.value.details["reset"].startswith("9999-12-31")


async def test_a_caller_is_told_the_limits_own_name() -> None:
    counters = MemoryCounters(HandClock())
    with pytest.raises(BrokerError) as caught:
        await counters.reserve([charge("committed", 2, 1)._replace(label="user:anna money")])
    assert caught.value.details["limit"] == "user:anna money"


async def test_windows_align_to_the_clock_not_to_the_first_call() -> None:
    rig = MemorySetup()  # 25.5 s into a minute
    await rig.counters.reserve([charge("a", 1, 1)])
    await rig.pass_seconds(34.4)
    late = await rig.counters.reserve([charge("b", 1, 1)])
    await rig.pass_seconds(0.2)
    early = await rig.counters.reserve([charge("a", 1, 1)])
    assert early.windows[0] - late.windows[0] == MINUTE
