"""Fixed windows: how much of a cap is taken, and when it is free again.

Knows: whole numbers and aligned windows. Must not know: clocks, stores, callers.
"""

from __future__ import annotations

from typing import NamedTuple

from broker.model.units import NS_PER_SECOND


class Window(NamedTuple):
    """The window that began at `start` (unix seconds) and what is taken in it."""

    start: int
    taken: int = 0


def start_of(now_ns: int, window_seconds: int) -> int:
    """The beginning (unix seconds) of the window that holds `now_ns`; windows align to the epoch.

    >>> start_of(125_000_000_000, 60)
    120
    """
    now = now_ns // NS_PER_SECOND
    return now - now % window_seconds


def seconds_left(now_ns: int, window_seconds: int) -> float:
    """Seconds until the next window begins."""
    return start_of(now_ns, window_seconds) + window_seconds - now_ns / NS_PER_SECOND


def take(window: Window, amount: int, cap: int) -> Window | None:
    """The window with `amount` more, or None where that would pass `cap`."""
    taken = window.taken + amount
    return None if taken > cap else Window(window.start, taken)


def settle(window: Window, reserved: int, used: int) -> Window:
    """The window after `reserved` turned out to be `used`; never below zero."""
    return Window(window.start, max(0, window.taken - reserved + used))
