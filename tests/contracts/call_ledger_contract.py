"""What every CallLedger must do: all charges and the intent, or neither, and never more than a cap."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from pathlib import Path
from random import Random
from typing import NamedTuple, Protocol

import pytest

from broker.errors import BrokerError, Kind
from broker.model.charge import Charge, LimitExceededError, LimitUse, Reservation, Taken, Unit, settled, used
from broker.model.record import Receipt, RecordType
from broker.ports import AbandonedReservationError, CallLedger
from broker.tlog.report import Verdict
from tests.contracts.port_contract import PortContract
from tests.ledger.support import entries, intent, outcome, report
from tests.sizes import sized

HOUR = 3600
CAPS = {"a": 10, "b": 7, "c": 3}


class CallLedgerSetup(Protocol):
    """A ledger under test, whose log lies in the folder that it was opened in."""

    @property
    def ledger(self) -> CallLedger: ...

    def lose(self) -> None:
        """Durability cannot be had any more."""


class OpensCallLedger(Protocol):
    """Opens one there, to be closed at the end."""

    def __call__(self, home: Path, /) -> AbstractAsyncContextManager[CallLedgerSetup]: ...


def charge(key: str, amount: int, cap: int, unit: Unit = Unit.REQUESTS, window: int = HOUR) -> Charge:
    """A charge in the window of now, with this file's defaults."""
    return Charge(Taken(key, unit, window, int(time.time()) // window * window, amount), cap)


def held(cap: int) -> Charge:
    """One of so many calls that may be under way."""
    return Charge(Taken("held", Unit.CONCURRENT_CALLS, 0, 0, 1), cap)


class Call(NamedTuple):
    """One that is under way."""

    call_id: str
    reservation: Reservation


class CallsOn:
    """Reserves and settles, each call under an id of its own."""

    def __init__(self, ledger: CallLedger) -> None:
        self._ledger = ledger
        self._numbers = count()

    async def reserve(self, *charges: Charge) -> Call:
        call_id = f"c{next(self._numbers)}"
        taken = tuple(each.taken for each in charges)
        return Call(
            call_id, await self._ledger.reserve(intent(call_id)._replace(reserved=taken), list(charges))
        )

    async def settle(self, call: Call, used: dict[Unit, int]) -> Receipt:
        changes = settled(call.reservation.taken, used)
        told = outcome(call.call_id)._replace(requests_charged=used.get(Unit.REQUESTS))
        return await self._ledger.settle(told, changes)

    async def fits(self, *charges: Charge) -> bool:
        """Whether they are taken; where not, it is because of a cap."""
        try:
            await self.reserve(*charges)
        except LimitExceededError:
            return False
        return True


@dataclass
class Model:
    """The plainest possible counters: what is taken of each key. It says what the real ones must answer."""

    taken: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CAPS, 0))

    def accepts(self, amounts: dict[str, int]) -> bool:
        return all(self.taken[key] + amount <= CAPS[key] for key, amount in amounts.items())

    def add(self, amounts: dict[str, int]) -> None:
        for key, amount in amounts.items():
            self.taken[key] += amount


class CallLedgerContract(PortContract):
    """Needs a fixture `open_ledger`: OpensCallLedger."""

    port = CallLedger

    @pytest.fixture
    async def calls(self, open_ledger: OpensCallLedger, tmp_path: Path) -> AsyncIterator[CallsOn]:
        """On a fresh ledger, which is closed at the end."""
        async with open_ledger(tmp_path) as rig:
            yield CallsOn(rig.ledger)

    async def test_it_is_the_adapter_that_is_named(
        self, open_ledger: OpensCallLedger, tmp_path: Path
    ) -> None:
        async with open_ledger(tmp_path) as rig:
            self.under_test(rig.ledger)

    async def test_no_interleaving_passes_a_cap(self, calls: CallsOn) -> None:
        for seed in range(sized(20)):
            await _interleave(calls, Random(seed))  # noqa: S311 - not for secrets

    async def test_racing_reservations_share_one_cap(
        self, open_ledger: OpensCallLedger, tmp_path: Path
    ) -> None:
        async with open_ledger(tmp_path) as rig:
            calls = CallsOn(rig.ledger)
            tries = await asyncio.gather(*(calls.fits(charge("a", 1, 37)) for _ in range(100)))
        assert sum(tries) == 37
        assert [entry.record.type for entry in entries(tmp_path)].count(RecordType.INTENT) == 37

    async def test_a_reservation_takes_all_or_nothing(self, calls: CallsOn) -> None:
        await calls.reserve(charge("b", 7, 7))
        assert not await calls.fits(charge("a", 10, 10), charge("b", 1, 7))
        assert await calls.fits(charge("a", 10, 10))

    async def test_what_is_refused_leaves_no_intent(
        self, open_ledger: OpensCallLedger, tmp_path: Path
    ) -> None:
        async with open_ledger(tmp_path) as rig:
            with pytest.raises(LimitExceededError):
                await rig.ledger.reserve(intent("refused"), [charge("a", 11, 10)])
            await rig.ledger.reserve(intent("taken"), [charge("a", 10, 10)])
            await rig.ledger.settle(outcome("taken"), ())
        named = {entry.record.call_id for entry in entries(tmp_path)}
        assert "taken" in named
        assert "refused" not in named
        assert report(tmp_path).verdict is Verdict.GOOD

    async def test_a_call_without_limits_is_recorded(
        self, open_ledger: OpensCallLedger, tmp_path: Path
    ) -> None:
        async with open_ledger(tmp_path) as rig:
            assert await rig.ledger.reserve(intent("c"), ()) == Reservation()
            await rig.ledger.settle(outcome("c"), ())
        assert {entry.record.call_id for entry in entries(tmp_path)} >= {"c"}

    async def test_two_charges_on_one_key_add_up(self, calls: CallsOn) -> None:
        assert not await calls.fits(charge("a", 6, 10), charge("a", 6, 10))
        assert await calls.fits(charge("a", 5, 10), charge("a", 5, 10))

    async def test_a_reservation_tells_what_it_left(self, calls: CallsOn) -> None:
        await calls.reserve(charge("a", 3, 10))
        asked = [charge("a", 2, 10), charge("b", 1, 7, Unit.TOKENS), charge("a", 1, 10)]
        left = (await calls.reserve(*asked)).reservation.left
        assert [(each.unit, each.cap, each.remaining) for each in left] == [
            (Unit.REQUESTS, 10, 5),
            (Unit.TOKENS, 7, 6),
            (Unit.REQUESTS, 10, 4),
        ]
        assert all(each.reset_seconds and 0 < each.reset_seconds <= HOUR for each in left)

    async def test_what_exceeds_a_limit_is_told_what_is_left_of_it(self, calls: CallsOn) -> None:
        await calls.reserve(charge("a", 8, 10))
        with pytest.raises(LimitExceededError) as caught:
            await calls.reserve(charge("b", 1, 7), charge("a", 3, 10))
        assert (caught.value.left.cap, caught.value.left.remaining) == (10, 2)
        assert caught.value.retry_after == caught.value.left.reset_seconds

    async def test_a_cap_that_was_lowered_leaves_nothing_rather_than_less(self, calls: CallsOn) -> None:
        await calls.reserve(charge("a", 8, 10))
        with pytest.raises(LimitExceededError) as caught:
            await calls.reserve(charge("a", 1, 5))
        assert caught.value.left.remaining == 0

    async def test_what_was_not_used_comes_back(self, calls: CallsOn) -> None:
        await calls.settle(await calls.reserve(charge("a", 10, 10)), {Unit.REQUESTS: 4})
        assert not await calls.fits(charge("a", 7, 10))
        assert await calls.fits(charge("a", 6, 10))

    async def test_more_than_was_reserved_is_settled_without_an_error(self, calls: CallsOn) -> None:
        await calls.settle(await calls.reserve(charge("a", 1, 10)), {Unit.REQUESTS: 25})
        assert not await calls.fits(charge("a", 1, 10))

    async def test_a_unit_that_is_not_reported_stays_as_reserved(self, calls: CallsOn) -> None:
        await calls.settle(await calls.reserve(charge("a", 10, 10)), {Unit.TOKENS: 0})
        assert not await calls.fits(charge("a", 1, 10))

    async def test_the_next_window_begins_empty(self, open_ledger: OpensCallLedger, tmp_path: Path) -> None:
        async with open_ledger(tmp_path) as rig:
            calls, now = CallsOn(rig.ledger), charge("a", 10, 10)
            await calls.reserve(now)
            assert await calls.fits(_next(now))

    async def test_a_late_settlement_gives_the_new_window_nothing(
        self, open_ledger: OpensCallLedger, tmp_path: Path
    ) -> None:
        async with open_ledger(tmp_path) as rig:
            calls, now = CallsOn(rig.ledger), charge("a", 10, 10)
            late = await calls.reserve(now)
            await calls.reserve(_next(now))
            await calls.settle(late, {Unit.REQUESTS: 0})
            assert not await calls.fits(_next(charge("a", 1, 10)))

    async def test_keys_units_and_windows_do_not_mix(self, calls: CallsOn) -> None:
        await calls.reserve(charge("a", 10, 10))
        for other in (
            charge("b", 10, 10),
            charge("a", 10, 10, Unit.TOKENS),
            charge("a", 10, 10, window=24 * HOUR),
        ):
            assert await calls.fits(other)

    @pytest.mark.parametrize(
        ("unit", "kind"),
        [
            (Unit.REQUESTS, Kind.RATE_LIMITED),
            (Unit.TOKENS, Kind.RATE_LIMITED),
            (Unit.MICRO_USD, Kind.BUDGET_EXCEEDED),
        ],
    )
    async def test_the_refusal_says_which_limit_and_when_to_come_back(
        self, open_ledger: OpensCallLedger, tmp_path: Path, unit: Unit, kind: Kind
    ) -> None:
        async with open_ledger(tmp_path) as rig:
            with pytest.raises(BrokerError) as caught:
                await CallsOn(rig.ledger).reserve(charge("free", 1, 9, unit), charge("full", 2, 1, unit))
        error = caught.value
        assert (error.kind, error.details["limit"]) == (kind, "full")
        assert error.retry_after is not None
        assert 0 < error.retry_after <= HOUR
        assert error.remedy

    async def test_what_is_held_comes_back_and_has_no_window(self, calls: CallsOn) -> None:
        one = await calls.reserve(held(2))
        assert [each.reset_seconds for each in one.reservation.left] == [None]
        with pytest.raises(LimitExceededError) as caught:
            await calls.reserve(held(2), charge("a", 1, 10), held(2))
        assert caught.value.retry_after is not None
        await calls.settle(one, used(0, 0))
        assert await calls.fits(held(2), held(2))
        assert not await calls.fits(held(2))
        assert await calls.fits(charge("a", 10, 10)), "who was refused took nothing"

    async def test_what_was_held_is_free_after_a_restart(
        self, open_ledger: OpensCallLedger, tmp_path: Path
    ) -> None:
        async with open_ledger(tmp_path) as rig:
            await CallsOn(rig.ledger).reserve(held(1))
        async with open_ledger(tmp_path) as rig:
            await rig.ledger.reserve(intent("again"), [held(1)])

    async def test_what_is_observed_is_counted_and_refuses_nothing(self, calls: CallsOn) -> None:
        watched = charge("a", 6, 10)._replace(observed=True)
        for passed in ((), ("a",)):
            reservation = (await calls.reserve(watched)).reservation
            assert (reservation.passed, reservation.left) == (passed, ())
        assert not await calls.fits(charge("a", 1, 12))
        assert await calls.fits(charge("a", 1, 13))

    async def test_that_a_limit_is_nearly_used_up_is_told_once(self, calls: CallsOn) -> None:
        near, told = charge("a", 3, 20)._replace(warn_at=8), []
        for _ in range(5):
            told.append((await calls.reserve(near)).reservation.warned)
        assert told == [(), (), (LimitUse(near.taken._replace(amount=9), 20),), (), ()]

    async def test_what_was_taken_in_earlier_slices_of_a_window_counts(self, calls: CallsOn) -> None:
        now = charge("a", 4, 10)._replace(slices=4)
        part = HOUR // 4
        for back, amount in ((4, 9), (3, 3), (1, 4)):
            start = now.taken.start - back * part
            await calls.reserve(
                charge("a", amount, 100)._replace(taken=now.taken._replace(start=start, amount=amount))
            )
        with pytest.raises(LimitExceededError) as caught:
            await calls.reserve(now)
        assert caught.value.left.remaining == 3
        free = now.taken.start + part
        assert datetime.fromisoformat(caught.value.details["reset"]).timestamp() == free
        assert await calls.fits(now._replace(taken=now.taken._replace(amount=3)))
        assert not await calls.fits(now._replace(taken=now.taken._replace(amount=1)))

    async def test_who_is_cancelled_knows_whether_it_was_reserved(
        self, open_ledger: OpensCallLedger, tmp_path: Path
    ) -> None:
        """Whatever the moment: CancelledError where it was, the refusal where it was not."""
        async with open_ledger(tmp_path) as rig:
            calls = CallsOn(rig.ledger)
            for turns in range(1, 7):
                tries = [asyncio.create_task(calls.reserve(charge(f"{turns}", 1, cap))) for cap in (1, 0) * 5]
                for _ in range(turns):
                    await asyncio.sleep(0)
                for each in tries[turns % 2 :]:
                    each.cancel()
                ends = await asyncio.gather(*tries, return_exceptions=True)
                assert not await calls.fits(charge(f"{turns}", 1, 1)), "one has it"
                known = [end for end in ends if isinstance(end, Call | asyncio.CancelledError)]
                begun = [end for end in ends if isinstance(end, LimitExceededError)]
                assert len(known) + len(begun) == len(ends)
        kinds = [entry.record.type for entry in entries(tmp_path)]
        assert kinds.count(RecordType.INTENT) == 6

    async def test_who_is_cancelled_is_told_what_is_reserved(
        self, open_ledger: OpensCallLedger, tmp_path: Path
    ) -> None:
        """What nears its cap would otherwise be told to nobody: it is told once."""
        async with open_ledger(tmp_path) as rig:
            calls = CallsOn(rig.ledger)

            async def left_with() -> Reservation:
                try:
                    await calls.reserve(charge("a", 8, 10)._replace(warn_at=8))
                except AbandonedReservationError as left:
                    return left.reservation
                return pytest.fail("nobody was cancelled")

            reserving = asyncio.create_task(left_with())
            await asyncio.sleep(0)
            reserving.cancel()
            assert [use.taken.amount for use in (await reserving).warned] == [8]

    async def test_where_durability_is_lost_nothing_is_reserved(
        self, open_ledger: OpensCallLedger, tmp_path: Path
    ) -> None:
        async with open_ledger(tmp_path) as rig:
            calls = CallsOn(rig.ledger)
            call = await calls.reserve(charge("a", 1, 10))
            rig.lose()
            for asked in (calls.reserve(charge("a", 1, 10)), calls.settle(call, {})):
                with pytest.raises(BrokerError) as refused:
                    await asked
                assert refused.value.kind is Kind.AUDIT_UNAVAILABLE

    async def test_what_is_taken_is_known_to_the_next_start(
        self, open_ledger: OpensCallLedger, tmp_path: Path
    ) -> None:
        async with open_ledger(tmp_path) as rig:
            calls = CallsOn(rig.ledger)
            await calls.settle(await calls.reserve(charge("a", 10, 10)), {Unit.REQUESTS: 4})
            await calls.reserve(charge("a", 2, 10))
        async with open_ledger(tmp_path) as rig:
            calls = CallsOn(rig.ledger)
            assert not await calls.fits(charge("a", 5, 10))
            assert await calls.fits(charge("a", 4, 10))


async def _interleave(calls: CallsOn, chance: Random) -> None:
    """Does what the model does, under keys of its own: reserves, or settles any of what is open."""
    model, account = Model(), f"{chance.random()}"
    opened: list[tuple[Call, dict[str, int]]] = []
    for _ in range(40):
        if opened and chance.random() < 0.5:
            call, amounts = opened.pop(chance.randrange(len(opened)))
            used = chance.randint(0, min(amounts.values()))
            await calls.settle(call, {Unit.REQUESTS: used})
            model.add({key: used - amount for key, amount in amounts.items()})
        else:
            keys = chance.sample(sorted(CAPS), chance.randint(1, len(CAPS)))
            asked = {key: chance.randint(0, CAPS[key] + 1) for key in keys}
            try:
                call = await calls.reserve(*(charge(account + k, n, CAPS[k]) for k, n in asked.items()))
            except LimitExceededError:
                assert not model.accepts(asked)
                continue
            assert model.accepts(asked)
            model.add(asked)
            opened.append((call, asked))
        assert all(0 <= taken <= CAPS[key] for key, taken in model.taken.items())


def _next(one: Charge) -> Charge:
    """The same in the window after."""
    return one._replace(taken=one.taken._replace(start=one.taken.start + one.taken.seconds))
