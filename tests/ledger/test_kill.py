"""SIGKILL at random moments: no acknowledged record is lost, every intent is closed, the log verifies."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from broker.adapters.ledger.directory import LogDirectory
from broker.model.record import RecordType
from broker.tlog.report import Verdict
from tests.ledger.appender import OPEN
from tests.ledger.support import ROOT, entries, fsck, opened, report
from tests.processes import children
from tests.sizes import sized

KILLS = sized(4, 20)


def _killed(home: Path, seconds: float, *, alone: bool) -> list[tuple[int, str, str]]:
    """Runs the appender, kills it some time after its first acknowledgement, `alone` or with the process that
    writes its log; returns all acknowledgements.
    """
    command = [sys.executable, "-m", "tests.ledger.appender", str(home)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline()]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            lines.append(child.stdout.readline())
        for pid in [] if alone else children(child.pid):
            os.kill(pid, signal.SIGKILL)
        child.kill()
        lines += child.stdout.read().splitlines(keepends=True)
    fields = [line.split() for line in lines if line.endswith("\n")]
    return [(int(seq), kind, call_id) for seq, kind, call_id in fields]


@pytest.mark.servers
async def test_sigkill_loses_no_acknowledged_record(tmp_path: Path) -> None:
    acknowledged: list[tuple[int, str, str]] = []
    moments = random.Random(7)  # noqa: S311 - moments, not secrets
    for number in range(KILLS):
        acknowledged += _killed(tmp_path, moments.uniform(0.05, 0.6), alone=number % 2 == 0)
        between = report(tmp_path)
        assert between.problems == ()
    async with opened(tmp_path):
        pass
    log = entries(tmp_path)
    assert len(acknowledged) > 1000
    for seq, kind, call_id in acknowledged:
        assert (log[seq].record.type.value, log[seq].record.call_id) == (kind, call_id)
    assert sum(entry.record.type is RecordType.START for entry in log) == KILLS + 1
    assert sum(entry.record.type is RecordType.RECOVERED for entry in log) >= KILLS * OPEN
    assert report(tmp_path).verdict is Verdict.GOOD
    assert f"Successfully fsck'd log with size {len(log)} " in fsck(tmp_path)
    assert len(LogDirectory(tmp_path / "log").segment_bases()) == 1
