"""The life of a ledger: append, read, close, come back; and what no crash explains is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from broker.adapters.ledger.directory import LogDirectory
from broker.adapters.ledger.keys import LogKeys
from broker.adapters.ledger.wal import encode_batch
from broker.errors import BrokerError, Kind
from broker.model.record import Receipt, Record, RecordType
from broker.tlog.entry import EntryPlace
from broker.tlog.merkle import hash_leaf
from broker.tlog.report import Verdict
from tests.ledger.support import (
    ORIGIN,
    FaultyDisk,
    crashed,
    entries,
    fsck,
    intent,
    ledger,
    opened,
    outcome,
    report,
)
from tests.tlog.samples import seal, signer


def _types(home: Path) -> list[str]:
    return [entry.record.type.value for entry in entries(home)]


async def test_a_life_from_start_to_close(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        receipt = await log.append(intent("c1"))
        await log.append(outcome("c1"))
        assert log.ready
    assert (receipt.origin, receipt.seq) == (ORIGIN, 2)
    assert _types(tmp_path) == ["key", "start", "intent", "outcome", "close"]
    assert receipt.leaf_hash == hash_leaf(entries(tmp_path)[2].encode())
    async with opened(tmp_path):
        pass
    assert _types(tmp_path) == ["key", "start", "intent", "outcome", "close", "start", "close"]
    assert report(tmp_path).verdict is Verdict.GOOD


async def test_entries_keep_the_order_of_the_calls_and_share_syncs(tmp_path: Path) -> None:
    disk = FaultyDisk()
    async with opened(tmp_path, disk=disk) as log:
        disk.counts.clear()
        disk.hang.clear()
        asyncio.get_running_loop().call_later(0.2, disk.hang.set)
        receipts = await asyncio.gather(*(log.append(intent(f"c{number}")) for number in range(500)))
        assert disk.counts["fdatasync"] == 1  # one turn of the event loop appended them
        await asyncio.gather(*(log.append(outcome(f"c{number}")) for number in range(500)))
    assert [receipt.seq for receipt in receipts] == list(range(2, 502))
    assert [entry.record.call_id for entry in entries(tmp_path)[2:502]] == [f"c{n}" for n in range(500)]


async def test_an_append_beside_a_close_is_recorded_or_refused_and_never_forgotten(tmp_path: Path) -> None:
    log = ledger(tmp_path)
    await log.open()
    closing = asyncio.create_task(log.close())
    appends: list[asyncio.Task[Receipt]] = []
    while not closing.done():
        appends.append(asyncio.create_task(log.append(intent(f"c{len(appends)}"))))
        await asyncio.sleep(0)
    ends = await asyncio.wait_for(asyncio.gather(*appends, return_exceptions=True), timeout=10)
    assert {type(end) for end in ends} == {Receipt, BrokerError}
    recorded = [end.seq for end in ends if isinstance(end, Receipt)]
    intents = [entry.place.seq for entry in entries(tmp_path) if entry.record.type is RecordType.INTENT]
    assert recorded == intents


async def test_entries_are_readable_before_and_after_integration(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        for number in range(300):
            await log.append(intent(f"c{number}"))
        before = [pair async for pair in log.tail(-1)]
        outside = list(LogDirectory(tmp_path / "log").entries())
        await asyncio.sleep(1)
        assert report(tmp_path).uncovered == 0
        after = [pair async for pair in log.tail(-1)]
        assert before == after == outside
        assert [seq for seq, _ in before] == list(range(302))
        assert [pair async for pair in log.tail(299)] == before[300:]
        assert [await log.read_entry(seq) for seq in (0, 255, 256, 301)] == [
            before[s][1] for s in (0, 255, 256, 301)
        ]
        for seq in (-1, 302):
            with pytest.raises(BrokerError) as missing:
                await log.read_entry(seq)
            assert missing.value.kind is Kind.NOT_FOUND


async def test_cut_calls_are_closed_on_the_next_start_with_their_user(tmp_path: Path) -> None:
    async with opened(tmp_path / "a", segment_bytes=2000) as log:
        await log.append(intent("old"))
        for number in range(40):  # many segments later, the old intent is in no segment any more
            await log.append(intent(f"c{number}"))
            await log.append(outcome(f"c{number}"))
        await asyncio.sleep(0.7)
        await log.append(intent("new"))
        assert len(LogDirectory(tmp_path / "a/log").segment_bases()) < 4
        home = crashed(tmp_path / "a", tmp_path / "b")
    async with opened(home):
        pass
    last = entries(home)[-4:]
    assert [entry.record.type.value for entry in last] == ["start", "recovered", "recovered", "close"]
    assert [entry.record.call_id for entry in last[1:3]] == ["old", "new"]
    assert {entry.record.user for entry in last[1:3]} == {"alice"}
    assert report(home).verdict is Verdict.GOOD


async def test_tiles_and_checkpoint_follow_within_a_second(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        await log.append(intent("c"))
        await log.append(outcome("c"))
        await asyncio.sleep(1)
        found = report(tmp_path)
        assert (found.size, found.uncovered, found.verdict) == (4, 0, Verdict.GOOD)


@pytest.mark.servers
async def test_tesseras_fsck_agrees_after_partial_and_full_tiles(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        for rounds in (3, 300, 200):
            await asyncio.gather(
                *(log.append(Record(RecordType.DENIED, call_id=f"{n}")) for n in range(rounds))
            )
            await asyncio.sleep(0.6)
    assert "Successfully fsck'd log with size 506" in fsck(tmp_path)
    assert [path.name for path in (tmp_path / "log/tile/0").iterdir()] in (["000", "001.p"], ["001.p", "000"])


async def test_a_new_record_key_is_introduced_before_it_signs(tmp_path: Path) -> None:
    async with opened(tmp_path):
        pass
    old = LogKeys.load_or_create(tmp_path / "keys")
    log = ledger(tmp_path, keys=LogKeys(old.checkpoint, Ed25519PrivateKey.generate()))
    await log.open()
    await log.close()
    assert _types(tmp_path) == ["key", "start", "close", "key", "start", "close"]
    assert report(tmp_path).verdict is Verdict.GOOD


async def test_second_writer_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path):
        with pytest.raises(BrokerError, match="Another process") as refused:
            await ledger(tmp_path).open()
        assert refused.value.kind is Kind.AUDIT_UNAVAILABLE
    async with opened(tmp_path):
        pass


async def test_record_that_no_entry_can_hold_is_refused_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        for user in ("x" * 20_000, "\ud800"):
            with pytest.raises(BrokerError) as refused:
                await log.append(Record(RecordType.INTENT, call_id="c", user=user))
            assert refused.value.kind is Kind.AUDIT_UNAVAILABLE
            assert user not in str(refused.value)
        assert (await log.append(outcome("d"))).seq == 2


async def test_cancelled_append_is_recorded_all_the_same(tmp_path: Path) -> None:
    disk = FaultyDisk()
    async with opened(tmp_path, disk=disk) as log:
        disk.hang.clear()
        task = asyncio.create_task(log.append(intent("cut")))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        disk.hang.set()
        await log.append(outcome("cut"))
    assert report(tmp_path).verdict is Verdict.GOOD


async def test_append_outside_open_and_close_is_refused(tmp_path: Path) -> None:
    log = ledger(tmp_path)
    with pytest.raises(BrokerError, match="not open"):
        await log.append(intent("c"))
    await log.open()
    await log.close()
    await log.close()
    with pytest.raises(BrokerError, match="not open"):
        await log.append(intent("c"))


def _segment(log: Path) -> Path:
    """The only write-ahead segment."""
    [segment] = (log / "wal").glob("0*")
    return segment


def _flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def _forge_tail(log: Path) -> None:
    """Appends a frame with an entry that some other key signed."""
    segment = _segment(log)
    seq = LogDirectory(log).segment(int(segment.name)).end
    with segment.open("ab") as file:
        file.write(encode_batch(seq, [seal(outcome("forged"), EntryPlace("i", seq, 0), signer(66))]))


def _roll_back(log: Path) -> None:
    """What an attacker with an older copy of a young log does."""
    _cut(_segment(log))
    (log / "checkpoint").unlink()


def _keep_tiles(log: Path) -> None:
    _segment(log).unlink()
    (log / "checkpoint").unlink()


def _cut(path: Path) -> None:
    """The last frame loses its end, whether or not zeros followed it."""
    path.write_bytes(path.read_bytes().rstrip(b"\0")[:-5])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "forged checkpoint": lambda log: _flip(log / "checkpoint", -10),
    "rolled back to an earlier write-ahead log": _roll_back,
    "all but the tiles removed": _keep_tiles,
    "edge tile edited": lambda log: _flip(log / "tile/0/000.p/5", 3),
    "edge tile removed": lambda log: (log / "tile/0/000.p/5").unlink(),
    "edge bundle edited": lambda log: _flip(log / "tile/entries/000.p/5", 30),
    "write-ahead log damaged": lambda log: _flip(_segment(log), 10),
    "entry forged into the write-ahead log": _forge_tail,
    "vkey of another log": lambda log: (log / "log.vkey").write_text("other\n"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
async def test_damage_that_no_crash_explains_is_refused_and_left_alone(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    async with opened(tmp_path) as log:
        await log.append(intent("c1"))
        await log.append(outcome("c1"))
    damage(tmp_path / "log")
    before = {path: path.read_bytes() for path in (tmp_path / "log").rglob("*") if path.is_file()}
    with pytest.raises(BrokerError, match="cannot be continued") as refused:
        await ledger(tmp_path).open()
    assert "audit verify" in refused.value.remedy
    assert before == {path: path.read_bytes() for path in (tmp_path / "log").rglob("*") if path.is_file()}


async def test_torn_tail_of_the_write_ahead_log_is_dropped(tmp_path: Path) -> None:
    disk = FaultyDisk()
    async with opened(tmp_path / "a", disk=disk) as log:
        await log.append(intent("c1"))
        disk.hang.clear()
        torn = asyncio.create_task(log.append(intent("torn")))
        await asyncio.sleep(0.1)
        home = crashed(tmp_path / "a", tmp_path / "b")
        assert not torn.done()  # nobody was told of it
        disk.hang.set()
        await torn
    _cut(_segment(home / "log"))
    async with opened(home):
        pass
    assert [entry.record.call_id for entry in entries(home)] == ["i1", "i1", "c1", "i1", "c1", "i1"]
    assert _types(home) == ["key", "start", "intent", "start", "recovered", "close"]
    assert report(home).verdict is Verdict.GOOD
