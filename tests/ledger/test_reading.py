"""Reading a log while it is written: by the index and without it, whatever state that is in, and what one
step of a search may cost.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.adapters.ledger import indexer
from broker.adapters.ledger.callindex import INDEX, CallIndex, Covered, bundles_of
from broker.adapters.ledger.directory import LogDirectory
from broker.adapters.ledger.disk import Disk
from broker.adapters.ledger.ledger import FileLedger
from broker.adapters.ledger.wal import Snapshot, encode_batch, entries_after, parse_segment
from broker.model.record import Record, RecordType
from broker.tlog.entry import EntryPlace, parse_entry
from broker.tlog.search import Search, call_id_of
from broker.tlog.tile import WIDTH
from tests.ledger.support import intent, opened, outcome
from tests.tlog.samples import seal, signer


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexer, "INTERVAL_SECONDS", 0.05)
    monkeypatch.setattr(indexer, "AGAIN_SECONDS", 0.05)


async def _fill(log: FileLedger, first: int, calls: int) -> None:
    numbers = range(first, first + calls)
    await asyncio.gather(*(log.append(intent(f"c{number}")) for number in numbers))
    await asyncio.gather(*(log.append(outcome(f"c{number}")) for number in numbers))


async def _types(log: FileLedger, call_id: str) -> list[str]:
    return [parse_entry(data).record.type.value for _, data in await log.of_call(call_id)]


async def _indexed(home: Path, bundles: int) -> None:
    for _ in range(200):
        if bundles_of(home / "log", "c")[1] == bundles:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{bundles_of(home / 'log', 'c')[1]} bundles are indexed, not {bundles}")


def _lose(home: Path) -> None:
    for path in (home / "log/index").iterdir():
        path.unlink()


def _garble(home: Path) -> None:
    _lose(home)
    (home / "log" / INDEX).write_bytes(b"no database" * 1000)


def _of_another_log(home: Path) -> None:
    with sqlite3.connect(home / "log" / INDEX) as database:
        database.execute("UPDATE covered SET anchor = x'00'")
    database.close()


def _ahead(home: Path) -> None:
    with sqlite3.connect(home / "log" / INDEX) as database:
        database.execute("UPDATE covered SET bundles = 1000")
    database.close()


HARM: dict[str, Callable[[Path], None]] = {
    "missing": _lose,
    "corrupt": _garble,
    "of another log": _of_another_log,
    "of a longer log": _ahead,
}


async def test_a_record_that_exists_is_found_wherever_it_lies(tmp_path: Path) -> None:
    async with opened(tmp_path, disk=Disk()) as log:
        await _fill(log, 0, 400)
        await asyncio.sleep(0.8)
        await _indexed(tmp_path, 3)
        await log.append(intent("young"))  # not indexed, in no bundle
        for call_id in ("c0", "c399", "c200"):
            assert await _types(log, call_id) == ["intent", "outcome"]
        assert await _types(log, "young") == ["intent"]
        assert await _types(log, "nobody") == []
        assert await _types(log, "c") == []  # a beginning of a call id is none
        [(seq, _)] = await log.of_call("young")
        assert seq == 802


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM.keys())
async def test_an_index_that_is_wrong_is_made_anew(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    async with opened(tmp_path, disk=Disk()) as log:
        await _fill(log, 0, 400)
        await asyncio.sleep(0.8)
        await _indexed(tmp_path, 3)
    harm(tmp_path)
    async with opened(tmp_path, disk=Disk()) as log:
        await _indexed(tmp_path, 3)
        assert await _types(log, "c7") == ["intent", "outcome"]


async def test_without_an_index_the_log_is_looked_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexer.Indexer, "start", lambda _self: None)
    monkeypatch.setattr(indexer.Indexer, "close", lambda _self: None)
    async with opened(tmp_path, disk=Disk()) as log:
        await _fill(log, 0, 400)
        assert await _types(log, "c7") == ["intent", "outcome"]
        await asyncio.sleep(0.8)
        assert await _types(log, "c7") == ["intent", "outcome"]
    assert not (tmp_path / "log/index").exists()


async def test_a_search_lists_what_it_finds_in_order_over_bundles_and_tail(tmp_path: Path) -> None:
    async with opened(tmp_path, disk=Disk()) as log:
        await _fill(log, 0, 300)
        await asyncio.sleep(0.8)
        await log.append(Record(RecordType.DENIED, call_id="late", user="bob"))
        denied = [
            seq async for seq, _ in log.tail(-1, Search({"type": ("denied", "close"), "user": ("bob",)}))
        ]
        assert denied == [602]
        intents = [seq async for seq, _ in log.tail(100, Search({"type": ("intent",)}))]
        assert intents == list(range(101, 302))
        assert [seq async for seq, _ in log.tail(-1)] == list(range(603))


async def test_an_index_never_reaches_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_anything: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(CallIndex, "add", broken)
    async with opened(tmp_path, disk=Disk()) as log:
        await _fill(log, 0, 300)
        await asyncio.sleep(0.8)
        assert log.ready
        assert await _types(log, "c7") == ["intent", "outcome"]


texts = st.text(max_size=12) | st.sampled_from(['"user":"a"', '\\"user\\":\\"a', 'a","user":"b', "é\u2028"])


@given(texts, texts, st.sampled_from(["user", "subject", "call_id", "operation"]))
def test_looking_for_bytes_finds_exactly_the_field(value: str, other: str, field: str) -> None:
    record = Record(RecordType.DENIED, call_id="c", policy_input=f'{{"{field}":"{other}"}}', reason=other)
    try:
        record = record._replace(**{field: value})  # type: ignore[arg-type]  # the four are texts
        entry = seal(record, EntryPlace("i", 1, 0), signer(1))
        search = Search({field: (other,)})
    except Exception:  # noqa: BLE001 - what no entry can hold is another test's matter
        return
    found = getattr(parse_entry(entry).record, field)
    assert search.finds(entry) is (found == other)
    assert Search({field: (value, "x")}).finds(entry)
    if field == "call_id" and value.isalnum() and value.isascii():
        assert call_id_of(entry) == value.encode()


@given(st.lists(st.lists(st.binary(max_size=30), min_size=1, max_size=4), max_size=6), st.integers(0, 30))
def test_what_is_read_of_a_live_segment_is_what_a_recovery_reads(
    groups: list[list[bytes]], after: int
) -> None:
    data, seq = Snapshot(3).encode(), 3
    for group in groups:
        data += encode_batch(seq, group)
        seq += len(group)
    data += bytes(100)
    whole = list(enumerate(parse_segment(data).entries, 3))
    assert entries_after(data, after) == [pair for pair in whole if pair[0] >= after]


async def test_a_step_of_a_search_holds_the_interpreter_for_less_than_the_loop_may_wait(
    tmp_path: Path,
) -> None:
    """In a thread, a step that never lets go would stop the event loop as one on it would."""
    async with opened(tmp_path, disk=Disk()) as log:
        for turn in range(4):
            await _fill(log, turn * 1000, 1000)
        await asyncio.sleep(1)
        late: list[float] = []

        async def watch() -> None:
            while True:
                began = time.perf_counter()
                await asyncio.sleep(0.001)
                late.append(time.perf_counter() - began - 0.001)

        watching = asyncio.create_task(watch())
        await asyncio.gather(*(_types(log, f"c{number}") for number in range(0, 4000, 100)))
        watching.cancel()
        late.sort()
        assert len(late) > 5
        assert late[len(late) // 2] < 0.05


def test_a_bundle_is_as_wide_as_the_index_believes(tmp_path: Path) -> None:
    index = CallIndex(tmp_path)
    index.add(0, [[b"c1"] * WIDTH], b"a")
    index.add(1, [[b"c1", b"c2"], [b"c2", b"c2"]], b"b")
    assert index.covered() == Covered(3, b"b")
    index.close()
    assert bundles_of(tmp_path, "c1") == ([0, 1], 3)
    assert bundles_of(tmp_path, "c2") == ([1, 2], 3)
    assert bundles_of(tmp_path / "elsewhere", "c2") == ([], 0)
    assert LogDirectory(tmp_path).covered_size() == 0
