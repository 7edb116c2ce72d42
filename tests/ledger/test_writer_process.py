"""The process that writes the log: what happens when it or its ledger are told to end, or do not start."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from broker.adapters.ledger import heartbeat
from broker.errors import BrokerError, Kind
from broker.tlog.report import Verdict
from tests.ledger.support import entries, intent, ledger, opened, outcome, report
from tests.processes import children, freeze


class Started:
    """What this process has started since the test began: other tests' servers may be there, too."""

    def __init__(self) -> None:
        self._before = set(children(os.getpid()))

    def now(self) -> list[int]:
        return [pid for pid in children(os.getpid()) if pid not in self._before]

    @property
    def writer(self) -> int:
        [pid] = self.now()
        return pid


@pytest.fixture
def started() -> Started:
    return Started()


async def test_a_killed_writer_refuses_its_callers_for_good_and_loses_nothing(
    tmp_path: Path, started: Started
) -> None:
    async with opened(tmp_path) as log:
        await log.append(intent("before"))
        os.kill(started.writer, signal.SIGKILL)
        assert "has ended" in str(await asyncio.wait_for(log.failed, 5))
        assert not log.ready
        with pytest.raises(BrokerError, match="has ended") as refused:
            await log.append(outcome("before"))
        assert refused.value.kind is Kind.AUDIT_UNAVAILABLE
    async with opened(tmp_path):
        pass
    types = [entry.record.type.value for entry in entries(tmp_path)]
    assert types == ["key", "start", "intent", "start", "recovered", "close"]
    assert report(tmp_path).verdict is Verdict.GOOD


async def test_appends_that_wait_for_a_writer_that_is_killed_are_refused(
    tmp_path: Path, started: Started
) -> None:
    async with opened(tmp_path) as log:
        freeze(started.writer)
        appends = [asyncio.create_task(log.append(intent(f"c{number}"))) for number in range(50)]
        await asyncio.sleep(0.1)
        assert not any(append.done() for append in appends)
        os.kill(started.writer, signal.SIGKILL)
        ends = await asyncio.wait_for(asyncio.gather(*appends, return_exceptions=True), 5)
        assert {type(end) for end in ends} == {BrokerError}


async def test_signals_meant_for_the_broker_do_not_end_its_writer(tmp_path: Path, started: Started) -> None:
    """Ctrl-C and a service manager reach both; the log still gets its `close`."""
    async with opened(tmp_path) as log:
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(started.writer, number)
        await log.append(intent("after"))
    assert [entry.record.type.value for entry in entries(tmp_path)] == ["key", "start", "intent", "close"]
    assert started.now() == []


async def test_a_writer_ends_with_its_ledger_and_lets_the_directory_go(tmp_path: Path) -> None:
    """What a SIGKILL of the ledger's process does to the writer: its socket ends."""
    log = ledger(tmp_path)
    await log.open()
    await log.append(intent("cut"))
    assert log._link is not None
    log._link._transport.abort()
    async with opened(tmp_path):
        pass
    await log.close()
    types = [entry.record.type.value for entry in entries(tmp_path)]
    assert types == ["key", "start", "intent", "start", "recovered", "close"]


async def test_a_writer_that_does_not_start_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(BrokerError, match="was not opened") as refused:
        await asyncio.wait_for(ledger(tmp_path).open(), 5)
    assert refused.value.kind is Kind.AUDIT_UNAVAILABLE


def test_a_person_who_starts_a_writer_is_told_what_it_is() -> None:
    command = [sys.executable, "-P", "-m", "broker.adapters.ledger"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "broker serve" in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_writer_that_is_stopped_is_told_within_seconds_and_again_when_it_goes_on(
    tmp_path: Path, started: Started
) -> None:
    """Also while nothing is appended: readiness must not wait for a call."""
    async with opened(tmp_path) as log:
        await asyncio.sleep(1)
        assert log.ready
        freeze(started.writer)
        await asyncio.sleep(3.5)
        assert not log.ready
        os.kill(started.writer, signal.SIGCONT)
        await asyncio.sleep(1)
        assert log.ready
        await log.append(intent("after"))


async def test_a_writer_that_hangs_does_not_hold_up_the_end(
    tmp_path: Path, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "STALL_SECONDS", 1.0)
    log = ledger(tmp_path)
    await log.open()
    freeze(started.writer)
    with pytest.raises(BrokerError, match="did not answer"):
        await asyncio.wait_for(log.append(intent("c")), 5)
    began = asyncio.get_running_loop().time()
    await log.close()
    assert asyncio.get_running_loop().time() - began < 5
    assert started.now() == []
    async with opened(tmp_path):
        pass


def test_a_writer_loads_nothing_that_only_the_broker_beside_it_needs() -> None:
    """A start waits for it: with all of the ledger's package it loaded for twice as long."""
    code = (
        "import sys, broker.adapters.ledger.__main__; print({'structlog', 'asyncio', 'ssl'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
