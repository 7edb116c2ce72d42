"""Limits that slide, are held, are only observed, or tell that they are nearly used up."""

from __future__ import annotations

from datetime import UTC

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.budget.limits import CapPassed, LimitTaken, LimitWindows
from broker.budget.window import exceeded, reserved, span_at
from broker.errors import Kind
from broker.model.charge import Charge, LimitUse, Taken, Unit, given_back, settled, used
from broker.model.limit import SlidingWindow
from broker.model.units import NS_PER_SECOND
from tests.sizes import sized

HOUR = 3600
NOW = 1_795_472_005


def sliding(at: int, amount: int, cap: int, seconds: int) -> Charge:
    start, long, slices = span_at(SlidingWindow(seconds), at * NS_PER_SECOND, UTC)
    return Charge(Taken("a", Unit.TOKENS, long, start, amount), cap, slices=slices)


def held(amount: int = 1, cap: int = 2) -> Charge:
    return Charge(Taken("a", Unit.CONCURRENT_CALLS, 0, 0, amount), cap)


def fixed(amount: int, cap: int, *, observed: bool = False, warn_at: int = 0) -> Charge:
    return Charge(Taken("a", Unit.TOKENS, HOUR, 0, amount), cap, observed=observed, warn_at=warn_at)


STEPS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 6)), max_size=60)


@settings(max_examples=sized(100))
@given(steps=STEPS, seconds=st.integers(1, 200), cap=st.integers(0, 12))
def test_in_no_stretch_of_time_more_is_taken_than_the_cap(
    steps: list[tuple[int, int]], seconds: int, cap: int
) -> None:
    windows, now = LimitWindows(), NOW
    took: list[tuple[int, int]] = []
    for later, amount in steps:
        now += later
        if not isinstance(windows.reserve([sliding(now, amount, cap, seconds)]), CapPassed):
            took.append((now, amount))
    for begin, _ in took:
        assert sum(n for at, n in took if begin <= at < begin + seconds) <= cap


@given(seconds=st.integers(1, 10**7), at=st.integers(NOW, NOW + 10**7))
def test_what_slid_out_of_the_window_is_free_again_two_sixtieths_later_at_most(seconds: int, at: int) -> None:
    windows = LimitWindows()
    assert windows.reserve([sliding(at, 1, 1, seconds)]) == (LimitTaken(1),)
    assert isinstance(windows.reserve([sliding(at + seconds - 1, 1, 1, seconds)]), CapPassed)
    spare = 2 * -(-seconds // 60)
    assert windows.reserve([sliding(at + seconds + spare, 1, 1, seconds)]) == (LimitTaken(1),)


def test_a_refusal_says_when_enough_has_slid_out() -> None:
    windows = LimitWindows()
    for at, amount in ((0, 4), (600, 3), (1200, 3)):
        windows.reserve([sliding(NOW - NOW % HOUR + at, amount, 10, HOUR)])
    asked = sliding(NOW - NOW % HOUR + 1800, 5, 10, HOUR)
    passed = windows.reserve([asked])
    assert passed == CapPassed(0, 10, NOW - NOW % HOUR + 600 + 3660)
    assert isinstance(passed, CapPassed)
    error = exceeded([asked], passed, (NOW - NOW % HOUR + 1800) * NS_PER_SECOND)
    assert (error.kind, error.retry_after) == (Kind.RATE_LIMITED, 600 + 3660 - 1800)


def test_what_is_held_comes_back_when_its_call_ends() -> None:
    windows = LimitWindows()
    assert windows.reserve([held()]) == (LimitTaken(1),)
    assert windows.reserve([held()]) == (LimitTaken(2),)
    assert isinstance(windows.reserve([held()]), CapPassed)
    windows.change(settled([held().taken], used(0, 0)))
    assert windows.reserve([held()]) == (LimitTaken(2),)
    windows.change(given_back([held().taken, held().taken, fixed(5, 9).taken]))
    assert windows.items() == (), "nobody holds it: nothing is kept"


def test_who_comes_while_all_is_held_is_told_to_come_again_soon_and_no_time() -> None:
    windows = LimitWindows([held(2).taken])
    passed = windows.reserve([held()])
    assert isinstance(passed, CapPassed)
    error = exceeded([held()], passed, NOW * NS_PER_SECOND)
    assert (error.kind, error.retry_after, error.left.reset_seconds) == (Kind.RATE_LIMITED, 1.0, None)
    assert "reset" not in error.details
    assert "under way" in (error.remedy or "")


def test_a_limit_that_is_observed_refuses_nothing_and_says_what_it_would_have_refused() -> None:
    windows = LimitWindows()
    charges = [fixed(6, 10, observed=True)]
    for passed in ((), ("a",), ("a",)):
        taken = windows.reserve(charges)
        assert not isinstance(taken, CapPassed)
        reservation = reserved(charges, taken, 0)
        assert (reservation.passed, reservation.left) == (passed, ()), "nobody is told of it"
    assert [each.amount for each in windows.items()] == [18]


def test_that_a_limit_is_nearly_used_up_is_told_once_in_a_window() -> None:
    windows, charges = LimitWindows(), [fixed(3, 10, warn_at=8)]
    told = []
    for _ in range(3):
        taken = windows.reserve(charges)
        assert not isinstance(taken, CapPassed)
        told.append(reserved(charges, taken, 0).warned)
    assert told == [(), (), (LimitUse(fixed(9, 10).taken, 10),)]
    windows.change([fixed(-9, 10).taken])
    again = windows.reserve([fixed(9, 10, warn_at=8)])
    assert again == (LimitTaken(9),), "it was told"
    later = fixed(9, 10, warn_at=8)
    later = later._replace(taken=later.taken._replace(start=HOUR))
    assert windows.reserve([later]) == (LimitTaken(9, warned=True),)


def test_a_sliding_limit_is_told_of_again_only_when_that_has_slid_out() -> None:
    windows = LimitWindows()
    warned = []
    for at in (0, 10, 50, 70, 130):
        charge = sliding(NOW - NOW % 60 + at, 1, 5, 60)._replace(warn_at=1)
        taken = windows.reserve([charge])
        assert not isinstance(taken, CapPassed)
        warned.append(taken[0].warned)
    assert warned == [True, False, False, True, False]
