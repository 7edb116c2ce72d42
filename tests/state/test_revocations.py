"""A token that one machine has had revoked is refused by all; who does not hear of it refuses."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from broker.adapters.state.feed import UNHEARD_SECONDS
from broker.model.record import Record, RecordType
from tests.ledger.support import RealClock
from tests.state.machines import Machine, deployment, machine
from tests.state.server import RealStore
from tests.state.test_faults import A, B, emptied, until

pytestmark = pytest.mark.servers


async def revoke(one: Machine, token_id: str) -> None:
    await one.ledger.append(Record(RecordType.REVOKED, call_id="c", subject="s", token_id=token_id))


async def test_it_is_known_to_every_process_of_every_machine_within_a_second(
    shared_store: RealStore, tmp_path: Path
) -> None:
    names = deployment(tmp_path)
    async with (
        machine(tmp_path / "a", shared_store, names, A) as one,
        machine(tmp_path / "b", shared_store, names, B) as other,
        other.worker() as worker,
    ):
        logs = [other.log, worker.ledger._machine_log]
        revoked = time.monotonic()
        await revoke(one, "tok_1")
        await until(lambda: all("tok_1" in dict(log.revoked) for log in logs))
        assert time.monotonic() - revoked < 1.5, "a second, on a machine that does other things"
        for log in logs:
            assert dict(log.revoked)["tok_1"] > RealClock().now_ns() // 10**9 + 3600


async def test_it_is_known_to_a_machine_that_starts_later(shared_store: RealStore, tmp_path: Path) -> None:
    names = deployment(tmp_path)
    async with machine(tmp_path / "a", shared_store, names, A) as one:
        await revoke(one, "tok_1")
        await asyncio.sleep(0.5)
        async with machine(tmp_path / "b", shared_store, names, B) as other:
            assert not other.state.unheard()
            assert "tok_1" in dict(other.log.revoked)


async def test_an_emptied_store_is_told_again(store: RealStore, tmp_path: Path) -> None:
    names = deployment(tmp_path)
    async with machine(tmp_path / "a", store, names, A) as one:
        await revoke(one, "tok_1")
        await asyncio.sleep(0.5)
        await emptied(store, one)
        async with machine(tmp_path / "b", store, names, B) as other:
            await until(lambda: "tok_1" in dict(other.log.revoked))


async def test_who_has_not_heard_the_store_for_five_seconds_knows_that(
    store: RealStore, tmp_path: Path
) -> None:
    async with machine(tmp_path / "a", store, deployment(tmp_path), A) as one:
        assert not one.state.unheard()
        store.freeze()
        frozen = time.monotonic()
        await until(lambda: bool(one.state.unheard()))
        assert UNHEARD_SECONDS - 1.5 < time.monotonic() - frozen < UNHEARD_SECONDS + 1.5
        store.thaw()
        await until(lambda: not one.state.unheard())


async def test_who_starts_without_the_store_has_heard_nothing(store: RealStore, tmp_path: Path) -> None:
    store.kill()
    async with machine(tmp_path / "a", store, deployment(tmp_path), A) as one:
        assert one.state.unheard()
        store.start()
        await until(lambda: not one.state.unheard())


async def test_a_revocation_that_could_not_be_told_is_told_later(store: RealStore, tmp_path: Path) -> None:
    names = deployment(tmp_path)
    async with machine(tmp_path / "a", store, names, A) as one, machine(tmp_path / "b", store, names, B) as b:
        store.kill()
        await revoke(one, "tok_1")
        store.start()
        await until(lambda: "tok_1" in dict(b.log.revoked))
