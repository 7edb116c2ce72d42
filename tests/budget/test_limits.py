"""What is taken of limits does not grow for ever, and their windows begin and end by the clock."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.budget.limits import FORGIVEN_SECONDS, CapPassed, LimitTaken, LimitWindows
from broker.budget.window import exceeded, left_of, start_of
from broker.errors import Kind
from broker.model.charge import Charge, Taken, Unit
from tests.sizes import sized

MINUTE = 60
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


NOW_NS = HandClock().now_ns()
NOW = NOW_NS // _NS


def charge(key: str, amount: int, cap: int, window: int = MINUTE) -> Charge:
    """A charge in the window of now."""
    return Charge(Taken(key, Unit.REQUESTS, window, start_of(NOW_NS, window), amount), cap)


def test_a_flood_of_accounts_is_forgotten_with_its_window() -> None:
    windows = LimitWindows()
    for number in range(10_001):
        assert windows.reserve([charge(f"account {number}", 1, 1)]) == (LimitTaken(1),)
    ended = start_of(NOW_NS, MINUTE) + MINUTE
    windows.forget_ended(ended + FORGIVEN_SECONDS - 1)
    assert len(windows.items()) == 10_001, "a clock that is set back finds them"
    for number in range(10_002):
        assert windows.reserve([charge(f"other {number}", 1, 1)]) == (LimitTaken(1),)
    windows.forget_ended(ended + FORGIVEN_SECONDS)
    assert windows.items() == ()


def test_many_live_windows_are_not_looked_through_for_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = LimitWindows()
    looked: list[int] = []

    def counted(live: int) -> int:
        looked.append(live)
        return 2 * live

    monkeypatch.setattr("broker.budget.limits._sweep_at", counted)
    for number in range(25_000):
        windows.reserve([charge(f"account {number}", 1, 1)])
        windows.forget_ended(NOW)
    assert looked == [10_001, 20_003]
    assert len(windows.items()) == 25_000


def test_what_was_spent_before_counts() -> None:
    before = LimitWindows()
    before.reserve([charge("a", 7, 10), charge("b", 3, 10)])
    after = LimitWindows(before.items())
    for windows in (before, after):
        assert windows.reserve([charge("a", 4, 10)]) == CapPassed(0, 7, start_of(NOW_NS, MINUTE) + MINUTE)
    assert after.reserve([charge("a", 3, 10), charge("b", 7, 10)]) == (LimitTaken(10),) * 2


def test_a_change_of_what_was_forgotten_means_nothing() -> None:
    windows = LimitWindows()
    windows.change([charge("a", 5, 10).taken])
    assert windows.items() == ()


def test_a_window_that_ends_after_all_calendars_refuses_as_others_do() -> None:
    full = charge("a", 2, 1, window=2**53 - 1)
    passed = LimitWindows().reserve([full])
    assert isinstance(passed, CapPassed)
    error = exceeded([full], passed, NOW_NS)
    assert error.kind is Kind.RATE_LIMITED
    assert error.details["reset"].startswith("9999-12-31")


def test_a_caller_is_told_the_limits_own_name() -> None:
    named = charge("committed", 2, 1)._replace(label="user:anna money")
    error = exceeded([named], CapPassed(0, 0, NOW), NOW_NS)
    assert error.details["limit"] == "user:anna money"


def test_a_window_that_has_ended_meanwhile_is_free_at_once() -> None:
    left = left_of(charge("a", 1, 9), 1, NOW_NS + 2 * MINUTE * _NS)
    assert (left.remaining, left.reset_seconds) == (8, 0)


def test_windows_align_to_the_clock_not_to_the_first_call() -> None:
    middle = NOW_NS + 34_400_000_000  # 59.9 s into a minute
    assert start_of(middle + 200_000_000, MINUTE) - start_of(middle, MINUTE) == MINUTE
    assert start_of(middle, MINUTE) == start_of(NOW_NS, MINUTE)


CAPS = {"a": 10, "b": 7, "c": 3}
AMOUNTS = st.dictionaries(st.sampled_from(sorted(CAPS)), st.integers(0, 12), min_size=1)
# A number settles the open reservation at that place, using that share of it; amounts reserve.
STEPS = st.lists(st.one_of(AMOUNTS, st.tuples(st.integers(0, 9), st.floats(0, 1))), max_size=40)


@settings(max_examples=sized(80))
@given(steps=STEPS)
def test_no_interleaving_passes_a_cap(steps: list[dict[str, int] | tuple[int, float]]) -> None:
    windows, taken = LimitWindows(), dict.fromkeys(CAPS, 0)
    opened: list[dict[str, int]] = []
    for step in steps:
        if isinstance(step, dict):
            fits = all(taken[key] + amount <= CAPS[key] for key, amount in step.items())
            answer = windows.reserve([charge(key, amount, CAPS[key]) for key, amount in step.items()])
            assert isinstance(answer, CapPassed) != fits
            if fits:
                taken = {key: n + step.get(key, 0) for key, n in taken.items()}
                opened.append(step)
        elif opened:
            amounts = opened.pop(step[0] % len(opened))
            used = int(step[1] * min(amounts.values()))
            windows.change(charge(key, used - amount, 0).taken for key, amount in amounts.items())
            taken = {key: n - amounts[key] + used if key in amounts else n for key, n in taken.items()}
        held = {each.limit: each.amount for each in windows.items()}
        assert held == {key: n for key, n in taken.items() if key in held}
        assert all(0 <= n <= CAPS[key] for key, n in taken.items())
