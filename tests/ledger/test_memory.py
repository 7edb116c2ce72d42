"""What a log's writer remembers beside its keys: a log that was deleted, cut or rolled back is not continued,
and nothing that a crash leaves is refused.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from broker.adapters.ledger.directory import LogDirectory
from broker.adapters.ledger.disk import Disk
from broker.adapters.ledger.ledger import FileLedger
from broker.adapters.ledger.memory import LogMemory, memory_path
from broker.cli.audit import app
from broker.errors import BrokerError, Kind
from broker.model.record import RecordType
from broker.tlog.malformed import MalformedError
from broker.tlog.remembered import SLOT_BYTES, Remembered, parse_remembered
from broker.tlog.report import Verdict
from tests.ledger.support import (
    ORIGIN,
    FaultyDisk,
    crashed,
    entries,
    intent,
    ledger,
    opened,
    outcome,
    report,
)

SEGMENT = 3000


async def _lived(home: Path, calls: int = 12) -> Path:
    """A log that was written, over several segments, and closed."""
    async with opened(home, disk=Disk(), segment_bytes=SEGMENT) as log:
        for number in range(calls):
            await log.append(intent(f"c{number}"))
            await log.append(outcome(f"c{number}"))
    return home


async def _killed(home: Path) -> Path:
    """What a kill leaves while no checkpoint covers the newest entries, in several segments."""
    disk = FaultyDisk()
    async with opened(home / "alive", disk=disk, segment_bytes=SEGMENT) as log:
        for number in range(12):
            await log.append(intent(f"c{number}"))
            await log.append(outcome(f"c{number}"))
        return crashed(home / "alive", home / "killed")


async def _refusal(home: Path) -> BrokerError:
    with pytest.raises(BrokerError, match="cannot be continued") as refused:
        await ledger(home, disk=Disk()).open()
    assert refused.value.kind is Kind.AUDIT_UNAVAILABLE
    return refused.value


def _emptied(log: Path) -> None:
    for each in log.iterdir():
        shutil.rmtree(each) if each.is_dir() else each.unlink()


@pytest.mark.parametrize("removed", [shutil.rmtree, _emptied], ids=["deleted", "emptied"])
async def test_a_log_that_was_deleted_is_not_begun_anew_under_its_name(
    tmp_path: Path, removed: Callable[[Path], None]
) -> None:
    home = await _lived(tmp_path)
    removed(home / "log")
    refused = await _refusal(home)
    assert "0 entries where 27 were acknowledged" in refused.message
    for hint in ("restore", "audit.origin", "audit.directory"):
        assert hint in refused.remedy
    assert not (home / "log/checkpoint").exists()


async def test_a_log_that_was_rolled_back_is_not_continued(tmp_path: Path) -> None:
    home = await _lived(tmp_path / "a")
    older = shutil.copytree(home / "log", tmp_path / "older")
    async with opened(home, disk=Disk()):
        pass
    shutil.rmtree(home / "log")
    older.rename(home / "log")
    assert report(home).verdict is Verdict.GOOD  # the files alone look perfect
    assert "27 entries where 29 were acknowledged" in (await _refusal(home)).message


async def test_a_copy_that_went_on_elsewhere_is_not_continued(tmp_path: Path) -> None:
    home = await _lived(tmp_path / "a")
    twin = crashed(home, tmp_path / "twin")
    async with opened(home, disk=Disk()) as log:
        await log.append(intent("ours"))
        await log.append(outcome("ours"))
    for _ in range(3):
        async with opened(twin, disk=Disk()):
            pass
    shutil.rmtree(home / "log")
    (twin / "log").rename(home / "log")
    assert "another history" in (await _refusal(home)).message


async def test_the_newest_segment_removed_is_found(tmp_path: Path) -> None:
    home = await _killed(tmp_path)
    segments = sorted((home / "log/wal").glob("0*"))
    assert len(segments) > 2
    segments[-1].unlink()
    assert "were acknowledged" in (await _refusal(home)).message


async def test_acknowledged_entries_that_no_checkpoint_covers_cannot_be_zeroed_unseen(tmp_path: Path) -> None:
    home = await _killed(tmp_path)
    newest = max((home / "log/wal").glob("0*"))
    head = LogDirectory(home / "log").segment(int(newest.name)).snapshot.encode()
    newest.write_bytes(head.ljust(newest.stat().st_size, b"\0"))
    assert report(home).problems == ()  # the log's own files do not tell
    assert "were acknowledged" in (await _refusal(home)).message
    done = CliRunner().invoke(app, ["verify", str(home / "log"), "--remembered", str(_memory(home))])
    assert done.exit_code == 1
    assert "were acknowledged" in done.output


async def test_verify_with_what_is_remembered_is_good_where_all_is_there(tmp_path: Path) -> None:
    home = await _lived(tmp_path)
    command = ["verify", str(home / "log"), "--remembered", str(_memory(home))]
    assert CliRunner().invoke(app, command).exit_code == 0
    other = await _lived(tmp_path / "other")
    done = CliRunner().invoke(app, [*command[:-1], str(_memory(other))])
    assert done.exit_code == 1
    assert "another history" in done.output
    _memory(home).write_bytes(b"no memory")
    assert CliRunner().invoke(app, command).exit_code == 3


async def test_a_log_without_a_memory_is_continued_and_that_is_told(tmp_path: Path) -> None:
    """The first start after an upgrade, or keys that were restored without it."""
    home = await _lived(tmp_path)
    _memory(home).unlink()
    async with opened(home, disk=Disk()):
        pass
    starts = [entry.record for entry in entries(home) if entry.record.type is RecordType.START]
    assert [record.alert is not None for record in starts] == [False, True]
    assert report(home).verdict is Verdict.GOOD
    async with opened(home, disk=Disk()):
        pass
    assert entries(home)[-2].record.alert is None


async def test_a_damaged_memory_is_refused(tmp_path: Path) -> None:
    home = await _lived(tmp_path)
    _memory(home).write_bytes(bytes(2 * SLOT_BYTES))
    assert "memory" in (await _refusal(home)).message


async def test_a_log_begun_under_a_new_name_has_a_memory_of_its_own(tmp_path: Path) -> None:
    home = await _lived(tmp_path)
    memory = LogMemory(home / "keys", "broker.example/log-2", Disk())
    assert memory.recall() is None
    assert memory_path(home / "keys", "broker.example/log-2") != _memory(home)


async def test_one_origin_is_not_written_into_two_folders(tmp_path: Path) -> None:
    async with opened(tmp_path, disk=Disk()) as log:
        assert log.ready
        (tmp_path / "two").mkdir()
        (tmp_path / "two/keys").symlink_to(tmp_path / "keys")
        await _refusal(tmp_path / "two")


async def test_an_older_memory_is_no_reason_to_refuse(tmp_path: Path) -> None:
    """What a power failure may leave: the log was synced, what is remembered of it was not yet."""
    home = await _lived(tmp_path)
    older = _memory(home).read_bytes()
    async with opened(home, disk=Disk()) as log:
        await log.append(intent("c"))
    _memory(home).write_bytes(older)
    async with opened(home, disk=Disk()):
        pass
    assert report(home).verdict is Verdict.GOOD


class _Camera(Disk):
    """Keeps a copy of everything before and after each call that changes the disk. The writer makes them from
    two threads: each picture is taken between two calls.
    """

    def __init__(self, home: Path, album: Path) -> None:
        self._home = home
        self._album = album
        self._one = threading.RLock()
        self.on = False

    def _shoot(self) -> None:
        if self.on:
            crashed(self._home, self._album / f"{len(list(self._album.iterdir())):03}")

    def write(self, fd: int, content: bytes) -> None:
        with self._one:
            self._shoot()
            super().write(fd, content[: len(content) // 2])
            self._shoot()
            super().write(fd, content[len(content) // 2 :])

    def pwrite(self, fd: int, content: bytes, at: int) -> None:
        with self._one:
            self._shoot()
            super().pwrite(fd, content[:20], at)  # torn
            self._shoot()
            super().pwrite(fd, content, at)

    def fdatasync(self, fd: int) -> None:
        with self._one:
            self._shoot()
            super().fdatasync(fd)

    def fsync(self, fd: int) -> None:
        with self._one:
            self._shoot()
            super().fsync(fd)

    def replace(self, source: Path, target: Path) -> None:
        with self._one:
            self._shoot()
            super().replace(source, target)

    def unlink(self, path: Path) -> None:
        with self._one:
            self._shoot()
            super().unlink(path)


async def test_a_crash_at_any_moment_is_no_reason_to_refuse(tmp_path: Path) -> None:
    home, album = tmp_path / "a", tmp_path / "album"
    album.mkdir()
    camera = _Camera(home, album)
    await _lived(home, calls=2)
    camera.on = True
    async with opened(home, disk=camera, segment_bytes=2500) as log:
        for number in range(2):
            await log.append(intent(f"d{number}"))
            await log.append(outcome(f"d{number}"))
    camera.on = False
    pictures = sorted(album.iterdir())
    assert len(pictures) > 40
    for picture in pictures:
        async with opened(picture, disk=Disk(), segment_bytes=2500):
            pass
        assert report(picture).verdict is Verdict.GOOD, picture


async def _append_for_ever(log: FileLedger) -> None:
    for number in count():
        await log.append(intent(f"c{number}"))


@pytest.mark.parametrize("call", ["pwrite", "fsync"])
async def test_a_memory_that_cannot_be_written_refuses_its_callers(tmp_path: Path, call: str) -> None:
    disk = FaultyDisk()
    async with opened(tmp_path, disk=disk) as log:
        await log.append(intent("before"))
        disk.fail(call)
        with pytest.raises(BrokerError, match="Input/output error"):
            await _append_for_ever(log)
    async with opened(tmp_path, disk=Disk()):
        pass
    assert report(tmp_path).verdict is Verdict.GOOD


@given(st.integers(0, 2**40), st.binary(min_size=32, max_size=32), st.booleans(), st.data())
def test_a_torn_slot_leaves_the_one_before(
    size: int, leaf: bytes, covered: bool, data: st.DataObject
) -> None:
    before = Remembered("o", size, leaf, covered, turn=6)
    now = Remembered("o", size + 1, leaf, covered, turn=7)
    file = bytearray(2 * SLOT_BYTES)
    for each in (before, now):
        at, slot = each.slot()
        file[at : at + SLOT_BYTES] = slot
    assert parse_remembered(bytes(file), "o") == now
    at, slot = now.slot()
    cut = data.draw(st.integers(0, 80))
    file[at : at + SLOT_BYTES] = slot[:cut] + bytes([slot[cut] ^ 1]) + slot[cut + 1 :]
    assert parse_remembered(bytes(file), "o") == before
    with pytest.raises(MalformedError):
        parse_remembered(bytes(file), "another")


CLOSED: dict[str, Callable[[Path], object]] = {
    "missing": lambda log: shutil.rmtree(log / "wal"),
    "empty": lambda log: _emptied(log / "wal"),
    "torn": lambda log: _tear(max((log / "wal").glob("0*"))),
}


def _tear(segment: Path) -> None:
    segment.write_bytes(segment.read_bytes().rstrip(b"\0")[:-5])


@pytest.mark.parametrize("remembered", [True, False], ids=["remembered", "unremembered"])
@pytest.mark.parametrize("lost", CLOSED.values(), ids=CLOSED.keys())
async def test_a_closed_log_whose_write_ahead_tail_is_lost_goes_on(
    tmp_path: Path, lost: Callable[[Path], object], remembered: bool
) -> None:
    async with opened(tmp_path, disk=Disk(), segment_bytes=SEGMENT) as log:
        await log.append(intent("open"))
        for number in range(150):
            await log.append(intent(f"c{number}"))
            await log.append(outcome(f"c{number}"))
    lost(tmp_path / "log")
    if not remembered:
        _memory(tmp_path).unlink()
    assert report(tmp_path).problems == ()
    async with opened(tmp_path, disk=Disk()):
        pass
    assert [entry.record.type.value for entry in entries(tmp_path)[-3:]] == ["start", "recovered", "close"]
    assert report(tmp_path).verdict is Verdict.GOOD


@pytest.mark.parametrize("lost", CLOSED.values(), ids=CLOSED.keys())
async def test_a_log_that_was_not_closed_needs_its_write_ahead_tail(
    tmp_path: Path, lost: Callable[[Path], object]
) -> None:
    home = await _killed(tmp_path)
    lost(home / "log")
    await _refusal(home)


def _memory(home: Path) -> Path:
    return memory_path(home / "keys", ORIGIN)
