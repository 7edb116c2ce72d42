"""The counters in memory keep the port's contract, and do not grow for ever."""

from __future__ import annotations

from dataclasses import dataclass, field

from broker.adapters.counters import MemoryCounters
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


async def test_windows_align_to_the_clock_not_to_the_first_call() -> None:
    rig = MemorySetup()  # 25.5 s into a minute
    await rig.counters.reserve([charge("a", 1, 1)])
    await rig.pass_seconds(34.4)
    late = await rig.counters.reserve([charge("b", 1, 1)])
    await rig.pass_seconds(0.2)
    early = await rig.counters.reserve([charge("a", 1, 1)])
    assert early.windows[0] - late.windows[0] == MINUTE
