"""Window arithmetic, for every number."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from broker.budget.window import Window, seconds_left, settle, start_of, take

_NS = 1_000_000_000
NOW = st.integers(0, 2**62)
LENGTH = st.integers(1, 10**7)
AMOUNT = st.integers(0, 10**12)


@given(NOW, LENGTH)
def test_a_window_holds_its_moment(now: int, length: int) -> None:
    start = start_of(now, length)
    assert start % length == 0
    assert start * _NS <= now < (start + length) * _NS


@given(st.integers(0, 2**52), LENGTH)
def test_the_wait_ends_with_the_window(now: int, length: int) -> None:
    assert 0 < seconds_left(now, length) <= length


@given(AMOUNT, AMOUNT, AMOUNT)
def test_a_cap_is_never_passed(taken: int, amount: int, cap: int) -> None:
    grown = take(Window(0, taken), amount, cap)
    assert (grown is None) == (taken + amount > cap)
    assert grown is None or grown.taken <= cap


@given(AMOUNT, AMOUNT, AMOUNT)
def test_settling_replaces_the_reservation(before: int, reserved: int, used: int) -> None:
    assert settle(Window(0, before + reserved), reserved, used).taken == before + used
