"""While the store is away a process lets no more be taken than its share, and tells it to all later."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.adapters.state.allowance import LocalAllowance
from broker.budget.limits import LimitTaken
from broker.errors import BrokerError, Kind
from broker.model.charge import Unit
from broker.model.record import RecordType
from tests.contracts.call_ledger_contract import CallsOn, charge
from tests.ledger.support import entries
from tests.state.machines import machine
from tests.state.server import RealStore
from tests.state.test_faults import DEADLINE, settled_at, until

pytestmark = pytest.mark.servers


def test_a_share_of_what_was_left_may_be_taken_and_no_more() -> None:
    allowance, one = LocalAllowance(10), charge("a", 3, 100)
    assert allowance.take([one]) is None, "the store has not told of it"
    allowance.saw([one], [LimitTaken(40)])
    assert allowance.take([one]) == (LimitTaken(43),)
    assert allowance.take([charge("b", 1, 100), one]) is None, "all or nothing"
    assert allowance.take([one]) == (LimitTaken(46),)
    assert allowance.take([one]) is None, "a tenth of 60 is 6"
    allowance.saw([one], [LimitTaken(46)])
    assert allowance.take([one]) == (LimitTaken(49),), "it is a share of what is left now"


def test_who_has_no_share_lets_nothing_be_taken() -> None:
    allowance, one = LocalAllowance(0), charge("a", 0, 100)
    allowance.saw([one], [LimitTaken(0)])
    assert allowance.take([one]) is None


def test_two_charges_of_one_limit_add_up() -> None:
    allowance, one = LocalAllowance(10), charge("a", 3, 50, Unit.TOKENS)
    allowance.saw([one], [LimitTaken(0)])
    assert allowance.take([one, one]) is None
    assert allowance.take([one]) == (LimitTaken(3),)


async def test_it_is_recorded_bounded_and_told_to_the_store(store: RealStore, tmp_path: Path) -> None:
    async with machine(tmp_path, store, deadline=DEADLINE, allowance=10) as one:
        calls = CallsOn(one.ledger)
        first = await calls.reserve(charge("a", 20, 100))
        store.kill()
        await until(lambda: bool(one.state.trouble()))
        more = [await calls.reserve(charge("a", 4, 100)) for _ in range(2)]
        with pytest.raises(BrokerError) as refused:
            await calls.reserve(charge("a", 1, 100))
        assert refused.value.kind is Kind.STATE_UNAVAILABLE
        await calls.settle(more[0], {Unit.REQUESTS: 1})
        store.start()
        await settled_at(calls, 20 + 1 + 4)
        await calls.settle(first, {Unit.REQUESTS: 5})
        await settled_at(calls, 5 + 1 + 4)
    told = [each.record.allowance for each in entries(tmp_path) if each.record.type is RecordType.INTENT]
    assert told == [None, True, True]


async def test_it_ends_when_nobody_knows_what_is_revoked(store: RealStore, tmp_path: Path) -> None:
    async with machine(tmp_path, store, deadline=DEADLINE, allowance=50) as one:
        calls = CallsOn(one.ledger)
        await calls.reserve(charge("a", 1, 1000))
        store.freeze()
        await calls.reserve(charge("a", 1, 1000))
        await until(lambda: bool(one.state.unheard()))
        with pytest.raises(BrokerError) as refused:
            await calls.reserve(charge("a", 1, 1000))
        assert refused.value.kind is Kind.STATE_UNAVAILABLE
        store.thaw()
        await settled_at(calls, 2)
