"""What every Counters adapter must do. A test module subclasses `CountersContract` and makes fresh ones."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.errors import BrokerError, Kind
from broker.model.charge import Charge, LimitExceededError, Reservation, Unit
from broker.ports import Counters
from tests.contracts.port_contract import PortContract
from tests.sizes import sized

MINUTE = 60
CAPS = {"a": 10, "b": 7, "c": 3}


class CountersSetup(Protocol):
    """Counters under test that nobody has charged yet, and their time."""

    @property
    def counters(self) -> Counters: ...

    async def pass_seconds(self, seconds: float) -> None:
        """Lets time go by, as far as the counters can tell."""


def charge(key: str, amount: int, cap: int, unit: Unit = Unit.REQUESTS, window: int = MINUTE) -> Charge:
    """A charge with this file's defaults."""
    return Charge(key, unit, amount, cap, window)


@dataclass
class Model:
    """The plainest possible counters: what is taken of each key. It says what the real ones must answer."""

    taken: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CAPS, 0))

    def accepts(self, amounts: dict[str, int]) -> bool:
        return all(self.taken[key] + amount <= CAPS[key] for key, amount in amounts.items())

    def add(self, amounts: dict[str, int]) -> None:
        for key, amount in amounts.items():
            self.taken[key] += amount


AMOUNTS = st.dictionaries(st.sampled_from(sorted(CAPS)), st.integers(0, 12), min_size=1)
# A number settles the open reservation at that place, using that share of it; amounts reserve.
STEPS = st.lists(st.one_of(AMOUNTS, st.tuples(st.integers(0, 9), st.floats(0, 1))), max_size=40)


class CountersContract(PortContract):
    """Needs `fresh()`."""

    port = Counters

    async def fresh(self) -> CountersSetup:
        """Counters that nobody has charged yet."""
        raise NotImplementedError

    async def test_it_is_the_adapter_that_is_named(self) -> None:
        self.under_test((await self.fresh()).counters)

    @settings(max_examples=sized(80))
    @given(steps=STEPS)
    async def test_no_interleaving_passes_a_cap(
        self, steps: list[dict[str, int] | tuple[int, float]]
    ) -> None:
        counters = (await self.fresh()).counters
        model = Model()
        opened: list[tuple[Reservation, dict[str, int]]] = []
        for step in steps:
            if isinstance(step, dict):
                reservation = await self._try(counters, [charge(k, n, CAPS[k]) for k, n in step.items()])
                assert (reservation is not None) == model.accepts(step)
                if reservation is not None:
                    model.add(step)
                    opened.append((reservation, step))
            elif opened:
                reservation, amounts = opened.pop(step[0] % len(opened))
                used = int(step[1] * min(amounts.values()))
                await counters.settle(reservation, {Unit.REQUESTS: used})
                model.add({key: used - amount for key, amount in amounts.items()})
            assert all(0 <= taken <= CAPS[key] for key, taken in model.taken.items())

    async def test_racing_reservations_share_one_cap(self) -> None:
        counters = (await self.fresh()).counters
        tries = await asyncio.gather(*(self._try(counters, [charge("a", 1, 37)]) for _ in range(100)))
        assert sum(reservation is not None for reservation in tries) == 37

    async def test_a_reservation_takes_all_or_nothing(self) -> None:
        counters = (await self.fresh()).counters
        await counters.reserve([charge("b", 7, 7)])
        assert await self._try(counters, [charge("a", 10, 10), charge("b", 1, 7)]) is None
        assert await self._try(counters, [charge("a", 10, 10)]) is not None

    async def test_two_charges_on_one_key_add_up(self) -> None:
        counters = (await self.fresh()).counters
        assert await self._try(counters, [charge("a", 6, 10), charge("a", 6, 10)]) is None
        assert await self._try(counters, [charge("a", 5, 10), charge("a", 5, 10)]) is not None

    async def test_a_reservation_tells_what_it_left(self) -> None:
        setup = await self.fresh()
        await setup.counters.reserve([charge("a", 3, 10)])
        asked = [charge("a", 2, 10), charge("b", 1, 7, Unit.TOKENS), charge("a", 1, 10)]
        left = (await setup.counters.reserve(asked)).left
        assert [(each.unit, each.cap, each.remaining) for each in left] == [
            (Unit.REQUESTS, 10, 5),
            (Unit.TOKENS, 7, 6),
            (Unit.REQUESTS, 10, 4),
        ]
        assert all(0 < each.reset_seconds <= MINUTE for each in left)

    async def test_what_exceeds_a_limit_is_told_what_is_left_of_it(self) -> None:
        counters = (await self.fresh()).counters
        await counters.reserve([charge("a", 8, 10)])
        with pytest.raises(LimitExceededError) as caught:
            await counters.reserve([charge("b", 1, 7), charge("a", 3, 10)])
        assert (caught.value.left.cap, caught.value.left.remaining) == (10, 2)
        assert caught.value.retry_after == caught.value.left.reset_seconds

    async def test_a_cap_that_was_lowered_leaves_nothing_rather_than_less(self) -> None:
        counters = (await self.fresh()).counters
        await counters.reserve([charge("a", 8, 10)])
        with pytest.raises(LimitExceededError) as caught:
            await counters.reserve([charge("a", 1, 5)])
        assert caught.value.left.remaining == 0

    async def test_what_was_not_used_comes_back(self) -> None:
        counters = (await self.fresh()).counters
        reservation = await counters.reserve([charge("a", 10, 10)])
        await counters.settle(reservation, {Unit.REQUESTS: 4})
        assert await self._try(counters, [charge("a", 7, 10)]) is None
        assert await self._try(counters, [charge("a", 6, 10)]) is not None

    async def test_more_than_was_reserved_is_settled_without_an_error(self) -> None:
        counters = (await self.fresh()).counters
        reservation = await counters.reserve([charge("a", 1, 10)])
        await counters.settle(reservation, {Unit.REQUESTS: 25})
        assert await self._try(counters, [charge("a", 1, 10)]) is None

    async def test_a_unit_that_is_not_reported_stays_as_reserved(self) -> None:
        counters = (await self.fresh()).counters
        reservation = await counters.reserve([charge("a", 10, 10)])
        await counters.settle(reservation, {Unit.TOKENS: 0})
        assert await self._try(counters, [charge("a", 1, 10)]) is None

    async def test_the_next_window_begins_empty(self) -> None:
        rig = await self.fresh()
        await rig.counters.reserve([charge("a", 10, 10)])
        await rig.pass_seconds(MINUTE)
        assert await self._try(rig.counters, [charge("a", 10, 10)]) is not None

    async def test_a_late_settlement_gives_the_new_window_nothing(self) -> None:
        rig = await self.fresh()
        late = await rig.counters.reserve([charge("a", 10, 10)])
        await rig.pass_seconds(MINUTE)
        await rig.counters.reserve([charge("a", 10, 10)])
        await rig.counters.settle(late, {Unit.REQUESTS: 0})
        assert await self._try(rig.counters, [charge("a", 1, 10)]) is None

    async def test_keys_units_and_windows_do_not_mix(self) -> None:
        counters = (await self.fresh()).counters
        await counters.reserve([charge("a", 10, 10)])
        for other in (
            charge("b", 10, 10),
            charge("a", 10, 10, Unit.TOKENS),
            charge("a", 10, 10, window=3600),
        ):
            assert await self._try(counters, [other]) is not None

    @pytest.mark.parametrize(
        ("unit", "kind"),
        [
            (Unit.REQUESTS, Kind.RATE_LIMITED),
            (Unit.TOKENS, Kind.RATE_LIMITED),
            (Unit.MICRO_USD, Kind.BUDGET_EXCEEDED),
        ],
    )
    async def test_the_refusal_says_which_limit_and_when_to_come_back(self, unit: Unit, kind: Kind) -> None:
        counters = (await self.fresh()).counters
        with pytest.raises(BrokerError) as caught:
            await counters.reserve([charge("free", 1, 9, unit), charge("full", 2, 1, unit)])
        error = caught.value
        assert (error.kind, error.details["limit"]) == (kind, "full")
        assert error.retry_after is not None
        assert 0 < error.retry_after <= MINUTE
        assert error.remedy

    async def _try(self, counters: Counters, charges: Sequence[Charge]) -> Reservation | None:
        """The reservation, or None where a cap would be passed."""
        try:
            return await counters.reserve(charges)
        except BrokerError as error:
            if error.kind not in (Kind.RATE_LIMITED, Kind.BUDGET_EXCEEDED):
                raise
            return None
