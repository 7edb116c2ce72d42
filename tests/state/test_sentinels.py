"""A real failover: what a replica had not received yet is not forgotten, and the old server takes nothing."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from broker.errors import BrokerError
from broker.model.charge import LimitExceededError
from tests.contracts.call_ledger_contract import CallsOn, charge
from tests.state.machines import deployment, machine
from tests.state.sentinels import watched_store

pytestmark = pytest.mark.servers
A, B = "broker.example/a", "broker.example/b"
CAP = 300


async def _spend(calls: CallsOn, until: float) -> int:
    """How many were reserved by then, one after the other, as often as the store lets them."""
    reserved = 0
    while time.monotonic() < until:
        try:
            await calls.reserve(charge("a", 1, CAP))
            reserved += 1
        except LimitExceededError:
            return reserved
        except BrokerError:
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.01)
    return reserved


async def test_a_failover_spends_no_budget_twice(tmp_path: Path) -> None:
    """The server in charge hangs, is replaced, and comes back, believing that it still is."""
    names = deployment(tmp_path)
    with watched_store(tmp_path) as store:
        async with (
            machine(tmp_path / "a", store, names, A, 0.5) as one,
            machine(tmp_path / "b", store, names, B, 0.5) as other,
        ):
            ledgers = [CallsOn(one.ledger), CallsOn(other.ledger)]
            first = store.servers[0]
            spending = [asyncio.create_task(_spend(calls, time.monotonic() + 60)) for calls in ledgers]
            await asyncio.sleep(0.5)
            first.freeze()
            deadline = time.monotonic() + 30
            while await asyncio.to_thread(store.primary) == first.port:
                assert time.monotonic() < deadline, "it was not failed over"
                await asyncio.sleep(0.1)
            first.thaw()
            reserved = sum(await asyncio.gather(*spending))
            assert not any(each.state.trouble() for each in (one, other))
            assert reserved == CAP
