"""Revocations outlive the process: the log's own state tells them, however long the log is."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from broker.adapters.ledger.disk import Disk
from broker.adapters.ledger.ledger import FileLedger
from broker.adapters.ledger.segments import Segments
from broker.adapters.ledger.wal import Snapshot, parse_segment
from broker.model.record import Record, RecordType
from broker.model.token import MAX_TOKEN_SECONDS
from broker.tlog.revoked import RevokedTokens
from tests.ledger.support import crashed, intent, ledger, opened, outcome


async def _revoked(log: FileLedger, token_id: str) -> None:
    await log.append(Record(RecordType.REVOKED, call_id=f"of-{token_id}", token_id=token_id))


async def _traffic(log: FileLedger, calls: int) -> None:
    for number in range(calls):
        await log.append(intent(f"c{number}"))
        await log.append(outcome(f"c{number}"))


async def _known(home: Path) -> dict[str, int]:
    log = ledger(home, disk=Disk())
    await log.open()
    await log.close()
    return dict(log.revoked)


@pytest.mark.parametrize("end", ["closed", "killed"])
async def test_revocations_are_not_forgotten_on_restart(tmp_path: Path, end: str) -> None:
    home = tmp_path / "a"
    async with opened(home, disk=Disk(), segment_bytes=4000) as log:
        await _revoked(log, "tok_old")
        await _traffic(log, 60)  # many segments later, no segment holds that record any more
        await _revoked(log, "tok_new")
        if end == "killed":
            home = crashed(home, tmp_path / "b")
    for _ in range(3):  # nor on the restart after the restart
        known = await _known(home)
        assert known.keys() == {"tok_old", "tok_new"}
        assert all(
            until - time.time() == pytest.approx(MAX_TOKEN_SECONDS + 60, abs=60) for until in known.values()
        )


async def test_a_log_of_an_older_version_tells_its_revocations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its segments do not name them: they are read from the bundles, this once."""
    begin = Segments.begin
    monkeypatch.setattr(
        Segments, "begin", lambda self, snapshot: begin(self, replace(snapshot, revoked=None))
    )
    async with opened(tmp_path, disk=Disk(), segment_bytes=4000) as log:
        await _traffic(log, 150)
        await _revoked(log, "tok_old")
        await _traffic(log, 150)
    monkeypatch.undo()
    assert (await _known(tmp_path)).keys() == {"tok_old"}


async def test_what_can_no_longer_count_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(tmp_path, disk=Disk()) as log:
        await _revoked(log, "tok_old")
    later = int(time.time()) + MAX_TOKEN_SECONDS + 120
    monkeypatch.setattr(time, "time", lambda: later)
    assert await _known(tmp_path) == {}


def test_a_revocation_counts_as_long_as_its_token_may_live() -> None:
    revoked = RevokedTokens()
    revoked.observe(RecordType.REVOKED, "a", 1000)
    revoked.observe(RecordType.TOKEN, "b", 1000)
    assert revoked.items(1000 + MAX_TOKEN_SECONDS) == (("a", 1000 + MAX_TOKEN_SECONDS + 60),)
    assert revoked.items(1000 + MAX_TOKEN_SECONDS + 60) == ()


def test_a_segment_says_what_is_revoked_and_an_old_one_that_it_does_not_know() -> None:
    for snapshot in (
        Snapshot(7, "k", (), (("tok", 9),)),
        Snapshot(7, "k", (), ()),
        Snapshot(7, "k", (), None),
    ):
        assert parse_segment(snapshot.encode()).snapshot == snapshot
