"""Counters in this process's memory: exact for one broker, forgotten at its end.

Knows: the port's contract. Must not know: who is charged, or why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from broker.budget.window import Window, seconds_left, settle, start_of, take
from broker.errors import BrokerError, Kind
from broker.model.charge import Charge, Reservation, Unit
from broker.ports import Clock

_Key = tuple[str, Unit, int]
_SWEEP_AT = 10_000


class MemoryCounters:
    """Implements `ports.Counters`. No await lies between check and take: each reservation is atomic on the
    event loop that owns this object.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: dict[_Key, Window] = {}

    async def reserve(self, charges: Sequence[Charge]) -> Reservation:
        now_ns = self._clock.now_ns()
        taken: dict[_Key, Window] = {}
        starts: list[int] = []
        for charge in charges:
            key = _key(charge)
            window = taken.get(key) or self._current(key, now_ns)
            grown = take(window, charge.amount, charge.cap)
            if grown is None:
                raise _exhausted(charge, now_ns)
            taken[key] = grown
            starts.append(grown.start)
        self._windows.update(taken)
        if len(self._windows) > _SWEEP_AT:
            self._sweep(now_ns)
        return Reservation(tuple(charges), tuple(starts))

    async def settle(self, reservation: Reservation, used: Mapping[Unit, int]) -> None:
        for charge, start in zip(reservation.charges, reservation.windows, strict=True):
            key = _key(charge)
            window = self._windows.get(key)
            # A window that has ended since keeps nothing: its successor was never charged for this call.
            if window is not None and window.start == start:
                self._windows[key] = settle(window, charge.amount, used.get(charge.unit, charge.amount))

    def _current(self, key: _Key, now_ns: int) -> Window:
        start = start_of(now_ns, key[2])
        window = self._windows.get(key)
        return window if window is not None and window.start == start else Window(start)

    def _sweep(self, now_ns: int) -> None:
        self._windows = {
            key: window for key, window in self._windows.items() if window.start == start_of(now_ns, key[2])
        }


def _key(charge: Charge) -> _Key:
    return charge.key, charge.unit, charge.window_seconds


def _exhausted(charge: Charge, now_ns: int) -> BrokerError:
    wait = seconds_left(now_ns, charge.window_seconds)
    reset = datetime.fromtimestamp(start_of(now_ns, charge.window_seconds) + charge.window_seconds, UTC)
    budget = charge.unit is Unit.MICRO_USD
    return BrokerError(
        Kind.BUDGET_EXCEEDED if budget else Kind.RATE_LIMITED,
        f"The limit of {charge.cap} {charge.unit} in {charge.window_seconds} s would be passed.",
        remedy=f"It is free again at {reset.isoformat()}.",
        retry_after=wait,
        details={"limit": charge.key, "unit": charge.unit.value, "reset": reset.isoformat()},
    )
