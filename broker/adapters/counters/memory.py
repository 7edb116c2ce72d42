"""Counters in this process's memory: exact for one broker, and begun with what its log tells was spent.

Knows: the port's contract. Must not know: who is charged, or why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from broker.budget.window import Window, seconds_left, settle, start_of, take
from broker.model.charge import Charge, LimitExceededError, LimitState, Reservation, Taken, Unit
from broker.model.units import NS_PER_SECOND
from broker.ports import Clock

_Key = tuple[str, Unit, int, int]  # limit, unit, seconds, start
_SWEEP_AT = 10_000
_LAST_SECOND = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())  # of the calendar


class MemoryCounters:
    """Implements `ports.Counters`. No await lies between check and take: each reservation is atomic on the
    event loop that owns this object. `spent` was taken before this process began.
    """

    def __init__(self, clock: Clock, spent: Iterable[Taken] = ()) -> None:
        self._clock = clock
        self._windows = {each[:4]: Window(each.start, each.amount) for each in spent}
        self._sweep_at = _sweep_at(len(self._windows))

    async def reserve(self, charges: Sequence[Charge]) -> Reservation:
        now_ns = self._clock.now_ns()
        taken: dict[_Key, Window] = {}
        starts: list[int] = []
        left: list[LimitState] = []
        for charge in charges:
            key = _key(charge, start_of(now_ns, charge.window_seconds))
            window = taken.get(key) or self._windows.get(key) or Window(key[3])
            grown = take(window, charge.amount, charge.cap)
            if grown is None:
                raise _exceeded(charge, window.taken, now_ns)
            taken[key] = grown
            starts.append(grown.start)
            left.append(_left(charge, grown.taken, now_ns))
        self._windows.update(taken)
        if len(self._windows) > self._sweep_at:
            self._sweep(now_ns)
        return Reservation(tuple(charges), tuple(starts), tuple(left))

    async def settle(self, reservation: Reservation, used: Mapping[Unit, int]) -> None:
        for charge, start in zip(reservation.charges, reservation.windows, strict=True):
            key = _key(charge, start)
            window = self._windows.get(key)
            if window is not None:  # one that has ended may be forgotten
                self._windows[key] = settle(window, charge.amount, used.get(charge.unit, charge.amount))

    def _sweep(self, now_ns: int) -> None:
        """Forgets what has ended; again once there are twice as many, so that it costs each call little."""
        self._windows = {
            key: window for key, window in self._windows.items() if key[3] >= start_of(now_ns, key[2])
        }
        self._sweep_at = _sweep_at(len(self._windows))


def _sweep_at(live: int) -> int:
    return max(_SWEEP_AT, 2 * live)


def _key(charge: Charge, start: int) -> _Key:
    return charge.key, charge.unit, charge.window_seconds, start


def _left(charge: Charge, taken: int, now_ns: int) -> LimitState:
    remaining = max(0, charge.cap - taken)  # a cap may have been lowered meanwhile
    reset = min(seconds_left(now_ns, charge.window_seconds), _LAST_SECOND - now_ns / NS_PER_SECOND)
    return LimitState(charge.unit, charge.cap, remaining, reset)


def _exceeded(charge: Charge, taken: int, now_ns: int) -> LimitExceededError:
    end = min(start_of(now_ns, charge.window_seconds) + charge.window_seconds, _LAST_SECOND)
    return LimitExceededError(charge, _left(charge, taken, now_ns), datetime.fromtimestamp(end, UTC))
