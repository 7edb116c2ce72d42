"""What every LimitReader must do: tell what calls have taken of limits, and what of it can be given back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

from broker.errors import BrokerError, Kind
from broker.model.charge import Charge, LimitUse, Taken, Unit
from broker.model.record import Record, RecordType
from broker.ports import CallLedger, LimitReader
from tests.contracts.call_ledger_contract import HOUR, CallsOn, charge, held
from tests.contracts.port_contract import PortContract


class LimitsRead(NamedTuple):
    """A reader under test, and the ledger that takes of its limits."""

    reader: LimitReader
    ledger: CallLedger


class OpensLimits(Protocol):
    """Opens both there, to be closed at the end."""

    def __call__(self, home: Path, /) -> AbstractAsyncContextManager[LimitsRead]: ...


def sliding(amount: int, cap: int, back: int = 0) -> Charge:
    """In a slice that begins so many minutes ago, of an hour in 61 of them."""
    start = (int(time.time()) // 60 - back) * 60
    return Charge(Taken("slides", Unit.TOKENS, 61 * 60, start, amount), cap, slices=61)


class LimitReaderContract(PortContract):
    """Needs a fixture `open_limits`: OpensLimits."""

    port = LimitReader

    @pytest.fixture
    async def limits(self, open_limits: OpensLimits, tmp_path: Path) -> AsyncIterator[LimitsRead]:
        async with open_limits(tmp_path) as opened:
            self.under_test(opened.reader)
            yield opened

    async def test_it_tells_what_is_taken_of_each_window_that_is_named(self, limits: LimitsRead) -> None:
        await CallsOn(limits.ledger).reserve(charge("a", 3, 10), charge("b", 5, 10))
        windows = [charge(key, 0, 0).taken[:4] for key in ("b", "c", "a")]
        assert await limits.reader.taken_of(windows) == (5, 0, 3)
        assert await limits.reader.taken_of([]) == ()

    async def test_those_come_first_of_which_the_largest_part_is_taken(self, limits: LimitsRead) -> None:
        calls = CallsOn(limits.ledger)
        await calls.reserve(charge("x a", 90, 1000), charge("x b", 8, 10), charge("y", 1, 1), held(4))
        told = await limits.reader.most_used("", 10)
        assert [use.taken.limit for use in told] == ["y", "x b", "held", "x a"]
        assert told[1] == LimitUse(charge("x b", 8, 10).taken, 10)
        assert [use.taken.limit for use in await limits.reader.most_used("x ", 1)] == ["x b"]
        assert await limits.reader.most_used("nobody's", 10) == ()

    async def test_what_slides_is_one_limit(self, limits: LimitsRead) -> None:
        calls = CallsOn(limits.ledger)
        for back, amount in ((61, 4), (30, 2), (0, 1)):
            await calls.reserve(sliding(amount, 9, back))
        [use] = await limits.reader.most_used("slides", 10)
        assert (use.taken.amount, use.cap) == (3, 9)

    async def test_what_calls_under_way_have_reserved_cannot_be_given_back(self, limits: LimitsRead) -> None:
        calls = CallsOn(limits.ledger)
        over = await calls.reserve(charge("a", 5, 20), held(9))
        await calls.settle(over, {Unit.REQUESTS: 4, Unit.CONCURRENT_CALLS: 0})
        await calls.reserve(charge("a", 7, 20), held(9))
        assert await limits.reader.settled_of("a") == (charge("a", 4, 20).taken,)
        assert await limits.reader.settled_of("held") == ()
        assert await limits.reader.settled_of("a ") == (), "it is the name, not a part of it"

    async def test_each_slice_can_be_given_back(self, limits: LimitsRead) -> None:
        calls = CallsOn(limits.ledger)
        for back, amount in ((30, 2), (0, 1)):
            await calls.settle(await calls.reserve(sliding(amount, 9, back)), {Unit.TOKENS: amount})
        settled = await limits.reader.settled_of("slides")
        assert sorted(each.amount for each in settled) == [1, 2]
        assert {each.seconds for each in settled} == {61 * 60}

    async def test_what_one_was_told_can_be_given_back_is_told_to_no_other(self, limits: LimitsRead) -> None:
        """Two at once would give it back twice, and with it what calls under way have reserved."""
        calls, reader = CallsOn(limits.ledger), limits.reader
        await calls.settle(await calls.reserve(charge("a", 5, 20)), {Unit.REQUESTS: 5})
        told = await asyncio.gather(*(reader.settled_of("a") for _ in range(4)))
        assert sorted(told) == [(), (), (), (charge("a", 5, 20).taken,)]
        given = (charge("a", -5, 20).taken,)
        await limits.ledger.settle(Record(RecordType.LIMIT, call_id="call_reset", adjusted=given), given)
        assert await reader.settled_of("a") == ()
        await calls.settle(await calls.reserve(charge("a", 2, 20)), {Unit.REQUESTS: 2})
        assert await reader.settled_of("a") == (charge("a", 2, 20).taken,)

    async def test_a_window_that_has_ended_is_not_told(self, limits: LimitsRead) -> None:
        now = charge("a", 1, 10)
        before = now._replace(taken=now.taken._replace(start=now.taken.start - HOUR))
        await CallsOn(limits.ledger).reserve(before)
        assert await limits.reader.most_used("a", 10) == ()
        assert await limits.reader.settled_of("a") == ()

    async def test_nobody_waits_for_an_answer_that_cannot_come(
        self, open_limits: OpensLimits, tmp_path: Path
    ) -> None:
        async with open_limits(tmp_path) as opened:
            reader = opened.reader
        with pytest.raises(BrokerError) as refused:
            await reader.most_used("", 10)
        assert refused.value.kind is Kind.AUDIT_UNAVAILABLE
