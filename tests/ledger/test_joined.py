"""Several ledgers of one log, as workers have them: one order, one truth about limits and revoked tokens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from broker.adapters.ledger.access import JoinedWriter, StartedWriter
from broker.adapters.ledger.ledger import FileLedger
from broker.errors import BrokerError, Kind
from broker.model.charge import Charge, LimitExceededError, Taken, Unit
from broker.model.record import Record, RecordType
from broker.tlog.report import Verdict
from tests.ledger.support import RealClock, entries, intent, outcome, report, writer


async def _joined(home: Path, access: StartedWriter) -> FileLedger:
    log = FileLedger(home / "log", JoinedWriter(access.admit()), RealClock())
    await log.open()
    return log


@asynccontextmanager
async def _shared(home: Path, ledgers: int) -> AsyncIterator[list[FileLedger]]:
    """So many ledgers of the log in `home`; the one that owns it is not among them."""
    access = writer(home)
    owner = FileLedger(home / "log", access, RealClock())
    await owner.open()
    joined = [await _joined(home, access) for _ in range(ledgers)]
    try:
        yield joined
    finally:
        for each in joined:
            await each.close()
        await owner.close()


def _charge(amount: int, cap: int) -> Charge:
    return Charge(Taken("team money/month", Unit.MICRO_USD, 10**9, 10**9, amount), cap)


async def _fits(log: FileLedger, call_id: str, charge: Charge) -> bool:
    try:
        await log.reserve(intent(call_id)._replace(reserved=(charge.taken,)), [charge])
    except LimitExceededError:
        return False
    return True


def _abort(log: FileLedger) -> None:
    """What a SIGKILL of the process does to its socket."""
    assert log._link is not None
    log._link._transport.abort()


async def test_what_all_of_them_append_is_one_log(tmp_path: Path) -> None:
    async with _shared(tmp_path, 3) as ledgers:
        for turn in range(20):
            records = [intent(f"{n} {turn}") for n in range(3)]
            receipts = await asyncio.gather(
                *(log.append(record) for log, record in zip(ledgers, records, strict=True))
            )
            assert len({receipt.seq for receipt in receipts}) == 3
            for n, log in enumerate(ledgers):
                await log.append(outcome(f"{n} {turn}"))
    held = entries(tmp_path)
    assert [entry.place.seq for entry in held] == list(range(len(held)))
    assert len({entry.place.instance for entry in held}) == 1, "one run of one broker"
    assert [entry.record.type for entry in held].count(RecordType.CLOSE) == 1
    assert report(tmp_path).verdict is Verdict.GOOD


@pytest.mark.parametrize("amount", range(1, 4))
async def test_they_share_one_cap_exactly(tmp_path: Path, amount: int) -> None:
    async with _shared(tmp_path, 4) as ledgers:
        tries = await asyncio.gather(
            *(_fits(ledgers[n % 4], f"c{n}", _charge(amount, 100)) for n in range(160))
        )
    assert sum(tries) == 100 // amount
    intents = [entry for entry in entries(tmp_path) if entry.record.type is RecordType.INTENT]
    assert len(intents) == sum(tries)


async def test_what_one_settles_another_may_spend(tmp_path: Path) -> None:
    async with _shared(tmp_path, 2) as (one, other):
        assert await _fits(one, "a", _charge(100, 100))
        assert not await _fits(other, "b", _charge(1, 100))
        await one.settle(outcome("a"), [_charge(-60, 100).taken])
        assert await _fits(other, "c", _charge(60, 100))
        assert not await _fits(one, "d", _charge(1, 100))


async def test_a_token_that_one_has_revoked_is_revoked_for_all_before_the_answer(tmp_path: Path) -> None:
    access = writer(tmp_path)
    owner = FileLedger(tmp_path / "log", access, RealClock())
    await owner.open()
    one, other = [await _joined(tmp_path, access) for _ in range(2)]
    heard: list[str] = []
    other.on_revoked = lambda token_id, _until: heard.append(token_id)
    await one.append(Record(RecordType.REVOKED, call_id="r", token_id="tok_1"))
    await other.append(outcome("x"))  # whatever it is answered after that
    assert heard == ["tok_1"]
    later = await _joined(tmp_path, access)
    for log in (other, later):
        assert [token_id for token_id, _ in log.revoked] == ["tok_1"]
    for log in (one, other, later, owner):
        await log.close()


async def test_the_calls_of_one_that_dies_are_closed_while_the_others_go_on(tmp_path: Path) -> None:
    async with _shared(tmp_path, 2) as (one, other):
        assert await _fits(one, "cut", _charge(70, 100))
        await one.append(intent("ended"))
        await one.append(outcome("ended"))
        await other.append(intent("other"))
        _abort(one)
        while "recovered" not in [entry.record.type.value for entry in entries(tmp_path)]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await other.append(outcome("other"))
        assert not await _fits(other, "c", _charge(40, 100)), "upstream may have acted: its worst case stays"
        assert await _fits(other, "d", _charge(30, 100))
        await other.append(outcome("d"))
    recovered = [entry.record for entry in entries(tmp_path) if entry.record.type is RecordType.RECOVERED]
    assert [(each.call_id, each.user) for each in recovered] == [("cut", "alice")]
    assert report(tmp_path).verdict is Verdict.GOOD


async def test_what_the_calls_of_one_that_dies_held_comes_back(tmp_path: Path) -> None:
    held = Charge(Taken("team streams", Unit.CONCURRENT_STREAMS, 0, 0, 1), 2)
    async with _shared(tmp_path, 2) as (one, other):
        assert await _fits(one, "cut", held)
        assert await _fits(other, "other", held)
        assert not await _fits(other, "c", held)
        _abort(one)
        while not await _fits(other, "d", held):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert not await _fits(other, "e", held), "the other's own is under way"
        for call_id in ("other", "d"):
            await other.settle(outcome(call_id), [held.taken._replace(amount=-1)])
    assert report(tmp_path).verdict is Verdict.GOOD


async def test_one_that_leaves_holds_nobody_up(tmp_path: Path) -> None:
    async with _shared(tmp_path, 2) as (one, other):
        await one.close()
        await other.append(intent("c"))
        with pytest.raises(BrokerError):
            await one.append(intent("d"))
        await other.append(outcome("c"))
    assert report(tmp_path).verdict is Verdict.GOOD


async def test_all_are_lost_where_the_owner_of_the_log_is(tmp_path: Path) -> None:
    access = writer(tmp_path)
    owner = FileLedger(tmp_path / "log", access, RealClock())
    await owner.open()
    joined = await _joined(tmp_path, access)
    await joined.append(intent("cut"))
    _abort(owner)
    assert (await asyncio.wait_for(joined.failed, 10)).kind is Kind.AUDIT_UNAVAILABLE
    await joined.close()
    await owner.close()
    async with _shared(tmp_path, 1):
        pass
    assert report(tmp_path).verdict is Verdict.GOOD
