"""Injected failures, each named after the call that fails: nothing is acknowledged that is not durable."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path

import pytest

from broker.adapters.ledger import heartbeat
from broker.adapters.ledger.disk import Disk
from broker.adapters.ledger.ledger import FileLedger
from broker.errors import BrokerError, Kind
from broker.model.record import Receipt, RecordType
from broker.tlog.report import Verdict
from tests.ledger.support import FaultyDisk, crashed, entries, intent, ledger, opened, outcome, report


async def test_fdatasync_error_latches_and_is_never_retried(tmp_path: Path) -> None:
    disk = FaultyDisk()
    async with opened(tmp_path, disk=disk) as log:
        await log.append(intent("before"))
        disk.fail("fdatasync")
        disk.counts.clear()
        results = await asyncio.gather(
            *(log.append(intent(f"c{n}")) for n in range(20)), return_exceptions=True
        )
        assert {type(result) for result in results} == {BrokerError}
        assert not log.ready
        assert (await log.failed).kind is Kind.AUDIT_UNAVAILABLE
        disk._failing.clear()  # a disk that is well again is not believed
        with pytest.raises(BrokerError, match="Nothing can be recorded") as refused:
            await log.append(intent("after"))
        assert refused.value.kind is Kind.AUDIT_UNAVAILABLE
        assert disk.counts["fdatasync"] == 1
    async with opened(tmp_path, disk=Disk()):
        pass
    assert "before" in {entry.record.call_id for entry in entries(tmp_path)}
    assert report(tmp_path).verdict is Verdict.GOOD


async def test_disk_full_in_the_middle_of_a_write(tmp_path: Path) -> None:
    disk = FaultyDisk()
    async with opened(tmp_path, disk=disk) as log:
        await log.append(intent("before"))
        await log.append(outcome("before"))
        disk.fail("write", code=errno.ENOSPC)
        with pytest.raises(BrokerError, match="No space left"):
            await log.append(intent("lost"))
    async with opened(tmp_path, disk=Disk()):
        pass
    assert "lost" not in {entry.record.call_id for entry in entries(tmp_path)}
    assert report(tmp_path).verdict is Verdict.GOOD


@pytest.mark.parametrize("persist", [False, True], ids=["failCheckpoint", "failCheckpointButPersist"])
async def test_crash_between_tiles_and_checkpoint(tmp_path: Path, persist: bool) -> None:
    home, disk = tmp_path / "a", FaultyDisk()
    async with opened(home, disk=disk) as log:
        await asyncio.sleep(0.7)
        disk.fail("replace", "checkpoint", persist=persist)
        results = await asyncio.gather(
            *(log.append(intent(f"c{n}")) for n in range(600)), return_exceptions=True
        )
        acknowledged = sum(isinstance(result, Receipt) for result in results)
        assert (await asyncio.wait_for(log.failed, 3)).kind is Kind.AUDIT_UNAVAILABLE
        found = report(crashed(home, tmp_path / "b"))
        assert found.problems == ()
        assert found.size + found.uncovered >= 2 + acknowledged
    async with opened(home, disk=Disk()):
        pass
    held = {entry.record.call_id for entry in entries(home)}
    assert held >= {f"c{n}" for n in range(acknowledged)}
    assert report(home).verdict is Verdict.GOOD


async def _append_until_refused(log: FileLedger) -> int:
    """How many appends were acknowledged."""
    acknowledged = 0
    while log.ready:
        results = await asyncio.gather(
            *(log.append(intent(f"c{acknowledged + n}")) for n in range(50)), return_exceptions=True
        )
        acknowledged += sum(isinstance(result, Receipt) for result in results)
    return acknowledged


@pytest.mark.parametrize(("call", "target"), [("replace", "000"), ("fsync", ""), ("replace", "0000")])
async def test_failing_integration_latches_and_recovers(tmp_path: Path, call: str, target: str) -> None:
    disk = FaultyDisk()
    async with opened(tmp_path, disk=disk, segment_bytes=50_000) as log:
        disk.fail(call, target)
        acknowledged = await _append_until_refused(log)
        assert "Input/output error" in str(await log.failed)
    async with opened(tmp_path, disk=Disk()):
        pass
    found = [entry.record.call_id for entry in entries(tmp_path) if entry.record.type is RecordType.INTENT]
    assert found[:acknowledged] == [f"c{n}" for n in range(acknowledged)]
    assert report(tmp_path).verdict is Verdict.GOOD


async def test_disk_that_fails_at_the_start_leaves_no_lock_behind(tmp_path: Path) -> None:
    disk = FaultyDisk()
    disk.fail("fdatasync")
    with pytest.raises(BrokerError):
        await ledger(tmp_path, disk=disk).open()
    async with opened(tmp_path, disk=Disk()):
        pass
    assert report(tmp_path).verdict is Verdict.GOOD


async def test_disk_that_hangs_refuses_its_callers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "STALL_SECONDS", 0.1)
    disk = FaultyDisk()
    async with opened(tmp_path, disk=disk) as log:
        disk.hang.clear()
        with pytest.raises(BrokerError, match="did not answer"):
            await asyncio.wait_for(log.append(intent("c")), 3)
        assert not log.ready
        disk.hang.set()
