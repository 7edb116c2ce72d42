"""Segments over zeros: the next one is ready before it is needed, and nothing of another process is in it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from broker.adapters.ledger.disk import Disk
from broker.adapters.ledger.integrator import INTERVAL_SECONDS
from broker.adapters.ledger.segments import SPARE, Segments
from broker.adapters.ledger.wal import Snapshot, encode_batch, parse_segment
from tests.ledger.support import crashed, intent, opened, report
from tests.ledger.test_ledger import _segment

BYTES = 4096
FIRST, SECOND = Snapshot(0, "key"), Snapshot(1, "key", (("c1", 0),))


def _segments(root: Path) -> Segments:
    (root / "wal").mkdir(exist_ok=True)
    return Segments(root, Disk(), BYTES)


def test_a_segment_has_its_full_size_from_the_first_frame_on(tmp_path: Path) -> None:
    segments = _segments(tmp_path)
    segments.prepare()
    for snapshot in (FIRST, SECOND):  # the first takes the spare, the second finds none
        segment = segments.begin(snapshot)
        os.write(segment.fd, encode_batch(snapshot.base, [b"entry"]))
        os.close(segment.fd)
        data = (tmp_path / "wal" / f"{snapshot.base:020d}").read_bytes()
        assert len(data) == BYTES
        parsed = parse_segment(data)
        assert (parsed.snapshot, parsed.entries, parsed.torn) == (snapshot, (b"entry",), False)
    assert not (tmp_path / SPARE).exists()


async def test_a_spare_that_another_process_left_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "log/wal").mkdir(parents=True)
    (tmp_path / "log" / SPARE).write_bytes(FIRST.encode() + encode_batch(0, [b"old"]) * 20)
    async with opened(tmp_path, disk=Disk()) as log:
        await log.append(intent("c1"))
        left = crashed(tmp_path, tmp_path.with_name(f"{tmp_path.name}-copy"))
        assert b"old" not in _segment(left / "log").read_bytes()
    assert report(tmp_path).problems == ()


async def test_a_running_log_keeps_one_spare_and_a_closed_one_no_zeros(tmp_path: Path) -> None:
    async with opened(tmp_path, disk=Disk(), segment_bytes=BYTES) as log:
        spare = tmp_path / "log" / SPARE
        await asyncio.sleep(2 * INTERVAL_SECONDS)
        assert spare.read_bytes() == bytes(BYTES)
        for number in range(20):
            await log.append(intent(f"c{number}"))
    assert not _segment(tmp_path / "log").read_bytes().endswith(b"\0")
