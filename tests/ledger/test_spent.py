"""What was spent outlives the process, whatever happens to the file that says so: the log is the truth."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from broker.adapters.ledger.disk import Disk
from broker.adapters.ledger.keys import LogKeys
from broker.adapters.ledger.ledger import FileLedger
from broker.adapters.ledger.opening import Opening
from broker.adapters.ledger.spendingfollower import spent_path
from broker.adapters.ledger.store import LogStore
from broker.errors import BrokerError, Kind
from broker.model.charge import Taken, Unit
from broker.model.record import Record
from broker.model.units import SECONDS_PER_DAY
from tests.budget.windows import SpentWindows
from tests.ledger.support import ORIGIN, crashed, entries, intent, ledger, opened, outcome

MONTH = 30 * SECONDS_PER_DAY
START = int(time.time()) // MONTH * MONTH
WORST = 100


def _reserving(call_id: str, *limits: str, start: int = START) -> Record:
    reserved = tuple(Taken(f"{limit} money/month", Unit.MICRO_USD, MONTH, start, WORST) for limit in limits)
    return intent(call_id)._replace(reserved=reserved)


def _settling(call_id: str, used: int) -> Record:
    return outcome(call_id)._replace(requests_charged=1, tokens_charged=0, cost_micro_usd=used)


async def _spend(log: FileLedger, calls: int) -> None:
    """Each 3 of a user's budget; one in ten is cut off, and one in ten reads what another has cost."""
    for number in range(calls):
        user = f"user:{number % 7}"
        await log.append(_reserving(f"c{number}", user, "team"))
        if number % 10:
            record = _settling(f"c{number}", 3)
            if number % 10 == 5:
                late = Taken("team money/month", Unit.MICRO_USD, MONTH, START, -1)
                record = record._replace(adjusted=(late,))
            await log.append(record)


def _told(home: Path) -> set[Taken]:
    """By the plain projection of all entries."""
    spent = SpentWindows()
    for entry in entries(home):
        spent.observe(entry.record)
    return set(spent.items(int(time.time())))


async def _known(home: Path) -> set[Taken]:
    """What a start knows, of a log whose cut calls the last one has closed."""
    log = ledger(home, disk=Disk())
    await log.open()
    await log.close()
    keys = LogKeys.load_or_create(home / "keys")
    opening = Opening(home / "log", home / "keys", ORIGIN, keys, "i2")
    store = LogStore(opening, Disk(), lambda _error: None)
    try:
        return set(store.spent)
    finally:
        store.close()


def _file(home: Path) -> Path:
    return spent_path(home / "keys", ORIGIN)


def _size(home: Path) -> int:
    """How many entries the file knows of."""
    with sqlite3.connect(_file(home)) as database:
        [size] = database.execute("SELECT size FROM place").fetchone()
    database.close()
    return int(size)


async def _followed(home: Path, size: int) -> None:
    """Until the file has so many."""
    while _size(home) < size:  # noqa: ASYNC110 - another thread writes it
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("end", ["closed", "killed at once", "killed later"])
async def test_what_was_spent_is_not_forgotten_on_restart(tmp_path: Path, end: str) -> None:
    home = tmp_path / "a"
    async with opened(home, disk=Disk(), segment_bytes=4000) as log:
        await _spend(log, 200)
        if end == "killed later":
            await _followed(home, 300)
        if end != "closed":
            home = crashed(home, tmp_path / "b")
    told = _told(home)
    spent = {each.limit: each.amount for each in told}
    assert len(spent) == 8
    assert spent["team money/month"] == 20 * WORST + 180 * 3 - 20
    for _ in range(3):  # nor on the restart after the restart
        assert await _known(home) == told


async def test_a_call_under_way_is_settled_however_many_restarts_of_the_file_lie_between(
    tmp_path: Path,
) -> None:
    home = tmp_path / "a"
    async with opened(home, disk=Disk()) as log:
        await log.append(_reserving("long", "a"))
        await log.append(_reserving("cut", "a"))
        await _followed(home, 4)
        copy = crashed(home, tmp_path / "copy")
        await log.append(_settling("long", 7))
    [known] = await _known(home)
    assert known.amount == 7 + WORST
    [known] = await _known(copy)
    assert known.amount == 2 * WORST, "both were cut off there"


async def test_a_window_that_has_ended_counts_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path, disk=Disk()) as log:
        await log.append(_reserving("old", "a", start=START - MONTH))
        await log.append(_reserving("new", "a"))
        await _followed(tmp_path, 4)
    assert [each.start for each in await _known(tmp_path)] == [START]


async def test_an_intent_that_never_became_durable_has_spent_nothing(tmp_path: Path) -> None:
    home = tmp_path / "a"
    async with opened(home, disk=Disk()) as log:
        await log.append(_reserving("durable", "a"))
        copy = crashed(home, tmp_path / "copy")
        await log.append(_reserving("lost", "a"))
    [known] = await _known(copy)
    assert known.amount == WORST


def _deleted(file: Path, _other: Path) -> None:
    for each in file.parent.glob(f"{file.name}*"):
        each.unlink()


def _emptied(file: Path, other: Path) -> None:
    _deleted(file, other)
    file.touch()


def _cut(file: Path, _other: Path) -> None:
    with file.open("r+b") as content:
        content.truncate(file.stat().st_size // 2)


def _scribbled(file: Path, _other: Path) -> None:
    content = bytearray(file.read_bytes())
    content[5000:5100] = b"x" * 100
    file.write_bytes(content)


def _replaced(file: Path, other: Path) -> None:
    shutil.copyfile(other, file)


def _no_database(file: Path, _other: Path) -> None:
    file.write_bytes(b"taken: 0\n" * 1000)


def _no_tables(file: Path, _other: Path) -> None:
    with sqlite3.connect(file) as database:
        database.execute("DROP TABLE windows")
    database.close()


@pytest.mark.parametrize("harm", [_deleted, _emptied, _cut, _scribbled, _replaced, _no_database, _no_tables])
async def test_a_file_that_is_gone_or_wrong_is_made_anew_of_the_log(
    tmp_path: Path, harm: Callable[[Path, Path], None]
) -> None:
    home, other = tmp_path / "a", tmp_path / "other"
    for each, calls in ((home, 300), (other, 100)):
        async with opened(each, disk=Disk()) as log:
            await _spend(log, calls)
        await _known(each)  # all of it is in the file now
    told = _told(home)
    harm(_file(home), _file(other))
    assert await _known(home) == told
    assert _size(home) >= 300


async def test_an_older_file_is_brought_up_to_the_log(tmp_path: Path) -> None:
    home = tmp_path / "a"
    async with opened(home, disk=Disk()) as log:
        await _spend(log, 100)
    await _known(home)
    older = tmp_path / "older"
    shutil.copyfile(_file(home), older)
    async with opened(home, disk=Disk()) as log:
        await _spend(log, 300)
    await _known(home)
    _replaced(_file(home), older)
    assert await _known(home) == _told(home)


async def test_a_file_that_goes_further_than_its_log_is_not_believed(tmp_path: Path) -> None:
    """The log was restored of an older copy, and its memory with it."""
    home = tmp_path / "a"
    async with opened(home, disk=Disk()) as log:
        await _spend(log, 100)
    copy = crashed(home, tmp_path / "copy")
    async with opened(home, disk=Disk()) as log:
        await _spend(log, 300)
    await _known(home)
    shutil.copyfile(_file(home), _file(copy))
    assert await _known(copy) == _told(copy)


async def test_the_file_is_not_read_while_it_can_be_made_of_nothing_but_a_damaged_log(tmp_path: Path) -> None:
    """Fail closed: nobody knows what was spent."""
    async with opened(tmp_path, disk=Disk()) as log:
        await _spend(log, 400)
    _deleted(_file(tmp_path), tmp_path)
    bundle = tmp_path / "log/tile/entries/000"
    bundle.write_bytes(bundle.read_bytes()[:1000])
    with pytest.raises(BrokerError, match="cannot be continued") as refused:
        await _known(tmp_path)
    assert refused.value.kind is Kind.AUDIT_UNAVAILABLE


async def test_a_place_where_no_file_can_be_says_so(tmp_path: Path) -> None:
    async with opened(tmp_path, disk=Disk()) as log:
        await _spend(log, 10)
    _deleted(_file(tmp_path), tmp_path)
    _file(tmp_path).mkdir()
    with pytest.raises(BrokerError, match="What was spent") as refused:
        await _known(tmp_path)
    assert "Make room" in refused.value.remedy


async def test_it_is_told_where_the_whole_log_had_to_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with opened(tmp_path, disk=Disk()) as log:
        await _spend(log, 10)
    await _known(tmp_path)
    assert "limits_recounted" not in capsys.readouterr().out
    _deleted(_file(tmp_path), tmp_path)
    await _known(tmp_path)
    assert "limits_recounted" in capsys.readouterr().out
