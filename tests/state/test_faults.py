"""The store is killed, emptied, stopped; machines come and go: never more than a cap, and all of it soon."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from broker.errors import BrokerError, Kind
from broker.model.charge import LimitExceededError, Unit
from tests.contracts.call_ledger_contract import CallsOn, charge, held
from tests.ledger.support import RealClock
from tests.state.machines import Machine, deployment, machine
from tests.state.server import RealStore

pytestmark = pytest.mark.servers

A, B = "broker.example/a", "broker.example/b"
DEADLINE = 0.05
BUSY_SECONDS = 0.25
"""What a busy machine may add to a deadline."""


async def until(true: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        await asyncio.sleep(0.02)


async def taken(calls: CallsOn, cap: int = 1000) -> int:
    """What is taken of the limit `a`."""
    with pytest.raises(LimitExceededError) as full:
        await calls.reserve(charge("a", cap + 1, cap))
    return cap - full.value.left.remaining


async def settled_at(calls: CallsOn, amount: int) -> None:
    """So much is taken, soon."""
    for _ in range(100):
        with suppress(BrokerError):
            if await taken(calls) == amount:
                return
        await asyncio.sleep(0.1)
    assert await taken(calls) == amount


async def refused(calls: CallsOn) -> BrokerError:
    began = time.monotonic()
    with pytest.raises(BrokerError) as told:
        await calls.reserve(charge("a", 1, 1000))
    assert time.monotonic() - began < DEADLINE + BUSY_SECONDS
    assert told.value.kind is Kind.STATE_UNAVAILABLE
    assert told.value.retry_after is not None
    return told.value


async def open_again(*machines: Machine) -> None:
    """All are, once each has noticed that it was not."""
    await until(lambda: not any(each.state.trouble() for each in machines))


async def emptied(store: RealStore, one: Machine) -> None:
    """All data is gone, and the machine has written its own anew."""
    before = one.term
    with store.operator() as operator:
        operator.flushall()
    await until(lambda: one.term > before)


async def test_a_store_that_was_killed_is_refused_at_once_and_taken_up_again(
    store: RealStore, tmp_path: Path
) -> None:
    async with machine(tmp_path, store, deadline=DEADLINE) as one:
        calls = CallsOn(one.ledger)
        call = await calls.reserve(charge("a", 5, 1000))
        store.kill()
        await until(lambda: bool(one.state.trouble()))
        await refused(calls)
        await calls.settle(call, {Unit.REQUESTS: 2})
        store.start()
        await settled_at(calls, 2)


async def test_a_call_without_limits_needs_no_store(store: RealStore, tmp_path: Path) -> None:
    async with machine(tmp_path, store) as one:
        store.kill()
        await CallsOn(one.ledger).reserve()


async def test_a_broker_starts_without_its_store_and_finds_it_later(store: RealStore, tmp_path: Path) -> None:
    store.kill()
    async with machine(tmp_path, store, deadline=DEADLINE) as one:
        calls = CallsOn(one.ledger)
        await refused(calls)
        store.start()
        await open_again(one)
        await calls.reserve(charge("a", 1, 1))


async def test_an_emptied_store_is_filled_again_from_the_log(store: RealStore, tmp_path: Path) -> None:
    async with machine(tmp_path, store) as one, one.worker() as worker:
        calls = CallsOn(one.ledger)
        await calls.reserve(charge("a", 5, 1000))
        await emptied(store, one)
        await open_again(one)
        assert await taken(calls) == await taken(CallsOn(worker.ledger)) == 5


async def test_a_store_that_hangs_is_refused_within_the_deadline_and_comes_back(
    store: RealStore, tmp_path: Path
) -> None:
    async with machine(tmp_path, store, deadline=DEADLINE) as one:
        calls = CallsOn(one.ledger)
        await calls.reserve(charge("a", 1, 1000))
        store.freeze()
        assert "in time" in (await refused(calls)).message
        store.thaw()
        await settled_at(calls, 1)  # what came too late for its caller was given back


async def test_what_nobody_knows_of_is_found_in_the_log(store: RealStore, tmp_path: Path) -> None:
    """A store that hangs for long is left, and may do later what it was asked."""
    async with machine(tmp_path, store, deadline=DEADLINE) as one:
        calls = CallsOn(one.ledger)
        await calls.reserve(charge("a", 1, 1000))
        store.freeze()
        await refused(calls)
        await until(lambda: bool(one.state.trouble()))
        store.thaw()
        await settled_at(calls, 1)


async def test_two_machines_share_one_cap(shared_store: RealStore, tmp_path: Path) -> None:
    names = deployment(tmp_path)
    async with (
        machine(tmp_path / "a", shared_store, names, A) as one,
        machine(tmp_path / "b", shared_store, names, B) as other,
        one.worker() as worker,
    ):
        await open_again(one, other)
        ledgers = [CallsOn(each) for each in (one.ledger, other.ledger, worker.ledger)]
        tries = await asyncio.gather(
            *(calls.fits(charge("a", 1, 50)) for calls in ledgers for _ in range(40))
        )
        assert sum(tries) == 50
        assert [await taken(calls) for calls in ledgers] == [50, 50, 50]


async def test_a_machine_that_left_counts_at_what_it_last_held_also_in_an_emptied_store(
    store: RealStore, tmp_path: Path
) -> None:
    names = deployment(tmp_path)
    async with machine(tmp_path / "a", store, names, A) as one:
        async with machine(tmp_path / "b", store, names, B) as other:
            await open_again(one, other)
            await CallsOn(other.ledger).reserve(charge("a", 7, 1000))
            await until(lambda: B in one.roster.known)
        calls = CallsOn(one.ledger)
        await calls.reserve(charge("a", 1, 1000))
        await until(lambda: one.roster.known[B].held is not None)
        await emptied(store, one)
        await open_again(one)
        assert await taken(calls) == 8
        async with machine(tmp_path / "b", store, names, B) as other:
            await open_again(one, other)
            assert await taken(CallsOn(other.ledger)) == 8


async def test_nothing_is_reserved_while_nobody_knows_what_another_machine_held(
    store: RealStore, tmp_path: Path
) -> None:
    names = deployment(tmp_path)
    async with machine(tmp_path / "a", store, names, A, DEADLINE) as one:
        async with machine(tmp_path / "b", store, names, B, crashes=True) as other:
            await open_again(one, other)
            await CallsOn(other.ledger).reserve(charge("a", 7, 1000))
            await until(lambda: B in one.roster.known)
        await emptied(store, one)
        calls = CallsOn(one.ledger)
        await until(lambda: "lost what" in one.state.trouble())
        assert B in one.state.trouble()
        await refused(calls)
        async with machine(tmp_path / "b", store, names, B) as other:
            await open_again(one, other)
            assert await taken(calls) == 7


async def test_a_machine_that_was_killed_keeps_what_it_held(store: RealStore, tmp_path: Path) -> None:
    names = deployment(tmp_path)
    async with machine(tmp_path / "a", store, names, A) as one:
        async with machine(tmp_path / "b", store, names, B, crashes=True) as other:
            await open_again(one, other)
            await CallsOn(other.ledger).reserve(charge("a", 7, 1000))
        store.kill()
        await until(lambda: bool(one.state.trouble()))
        store.start()
        await settled_at(CallsOn(one.ledger), 7)


async def test_what_a_worker_left_in_the_middle_is_set_right(shared_store: RealStore, tmp_path: Path) -> None:
    """It had the store take something, and was killed before the log heard of it."""
    async with machine(tmp_path, shared_store) as one:
        async with one.worker() as worker:
            loop = asyncio.get_running_loop()
            await worker._lane.take([charge("a", 9, 1000)], loop.time() + 10)
        calls = CallsOn(one.ledger)
        assert await taken(calls) == 9
        one.state.worker_left()
        await settled_at(calls, 0)


async def test_two_brokers_of_one_name_do_not_both_reserve(shared_store: RealStore, tmp_path: Path) -> None:
    names = deployment(tmp_path)
    async with machine(tmp_path / "a", shared_store, names, A) as one:
        await CallsOn(one.ledger).reserve(charge("a", 5, 1000))
        async with machine(tmp_path / "copy", shared_store, names, A, DEADLINE) as other:
            assert "audit.origin" in other.state.trouble()
            with pytest.raises(BrokerError) as told:
                await CallsOn(other.ledger).reserve(charge("a", 1, 1000))
            assert told.value.kind is Kind.STATE_UNAVAILABLE
            assert not one.state.trouble()
        await settled_at(CallsOn(one.ledger), 5)


async def test_a_broker_that_names_limits_otherwise_reserves_nothing(
    shared_store: RealStore, tmp_path: Path
) -> None:
    names = deployment(tmp_path)
    async with (
        machine(tmp_path / "a", shared_store, names, A) as one,
        machine(tmp_path / "b", shared_store, names, B, DEADLINE, names_key="other") as other,
    ):
        assert "commitment.key" in other.state.trouble()
        await refused(CallsOn(other.ledger))
        await CallsOn(one.ledger).reserve(charge("a", 1, 1))


async def test_what_is_taken_is_told_of_all_machines(shared_store: RealStore, tmp_path: Path) -> None:
    names = deployment(tmp_path)
    async with (
        machine(tmp_path / "a", shared_store, names, A) as one,
        machine(tmp_path / "b", shared_store, names, B) as other,
    ):
        await open_again(one, other)
        for each in (one, other):
            await CallsOn(each.ledger).reserve(charge("a", 4, 10))
        window = charge("a", 0, 10).taken[:4]
        assert await one.state.limits.taken_of([window]) == (8,)
        assert [use.taken.amount for use in await other.state.limits.most_used("a", 5)] == [8]
        assert [use.amount for use in await one.state.limits.settled_of("a")] == [], "all is under way"


async def test_what_a_killed_machine_held_is_free_once_it_is_back(
    shared_store: RealStore, tmp_path: Path
) -> None:
    names = deployment(tmp_path)
    async with machine(tmp_path / "a", shared_store, names, A) as one:
        calls = CallsOn(one.ledger)
        async with machine(tmp_path / "b", shared_store, names, B, crashes=True) as other:
            await open_again(one, other)
            await CallsOn(other.ledger).reserve(held(1))
        assert not await calls.fits(held(1))
        async with machine(tmp_path / "b", shared_store, names, B) as other:
            await open_again(one, other)
            assert await calls.fits(held(1))


async def test_a_clock_that_is_off_closes_a_machine(
    shared_store: RealStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with machine(tmp_path, shared_store, deadline=DEADLINE) as one:
        calls = CallsOn(one.ledger)
        await calls.reserve(charge("a", 1, 10))
        ahead = 100 * 10**9
        monkeypatch.setattr(RealClock, "now_ns", lambda _self: time.time_ns() + ahead)
        await until(lambda: "clocks" in one.state.trouble())
        await refused(calls)
        monkeypatch.undo()
        await open_again(one)
        await calls.reserve(charge("a", 1, 10))
