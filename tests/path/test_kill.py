"""SIGKILL at random moments, through real connections: what a caller was told is in the log, and stays.

The full figure of 10,000 calls: `python -m tests.path.kill --calls 10000`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.path import kill

CALLS = 1500


@pytest.mark.servers
def test_sigkill_loses_no_acknowledged_record_and_leaves_no_call_open(tmp_path: Path) -> None:
    said: list[str] = []
    found = kill.run(tmp_path, CALLS, said.append)
    assert found.good, "\n".join([*said, *found.lines()])
    assert len(found.seen.whole) > CALLS * 0.8
    assert found.upstream >= len(found.seen.whole)
    assert found.closed_by["recovered"] > 0, "no kill met a call in flight: the test proved too little"
    assert sum("killed" in line for line in said) == kill.KILLS
