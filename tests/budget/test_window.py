"""Window arithmetic, for every number."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from broker.budget.limits import CapPassed, LimitTaken, LimitWindows
from broker.budget.window import left_of, start_of
from broker.model.charge import Charge, Taken, Unit

_NS = 1_000_000_000
NOW = st.integers(0, 2**62)
LENGTH = st.integers(1, 10**7)
AMOUNT = st.integers(0, 10**12)


def _taken(amount: int, length: int = 60, start: int = 0) -> Taken:
    return Taken("a", Unit.TOKENS, length, start, amount)


@given(NOW, LENGTH)
def test_a_window_holds_its_moment(now: int, length: int) -> None:
    start = start_of(now, length)
    assert start % length == 0
    assert start * _NS <= now < (start + length) * _NS


@given(st.integers(0, 2**52), LENGTH)
def test_the_wait_ends_with_the_window(now: int, length: int) -> None:
    charge = Charge(_taken(1, length, start_of(now, length)), 1)
    reset = left_of(charge, 1, now).reset_seconds
    assert reset is not None
    assert 0 < reset <= length


@given(AMOUNT, AMOUNT, AMOUNT)
def test_a_cap_is_never_passed(taken: int, amount: int, cap: int) -> None:
    grown = LimitWindows([_taken(taken)]).reserve([Charge(_taken(amount), cap)])
    assert grown == (CapPassed(0, taken, 60) if taken + amount > cap else (LimitTaken(taken + amount),))


@given(AMOUNT, AMOUNT, AMOUNT)
def test_settling_replaces_the_reservation(before: int, reserved: int, used: int) -> None:
    windows = LimitWindows([_taken(before + reserved)])
    windows.change([_taken(used - reserved)])
    assert windows.items() == (_taken(before + used),)


@given(AMOUNT, AMOUNT)
def test_nothing_is_taken_below_zero(before: int, back: int) -> None:
    windows = LimitWindows([_taken(before)])
    windows.change([_taken(-back)])
    assert windows.items() == (_taken(max(0, before - back)),)
