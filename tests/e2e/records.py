"""What the log of a running (or killed) broker says, read as an auditor would: from its files alone."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from broker.adapters.ledger.directory import LogDirectory
from broker.model.record import Record, RecordType
from broker.tlog.entry import Entry, parse_entry
from tests.commands import Done
from tests.nursery import the_nursery
from tests.running import RunningBroker

WAIT_SECONDS = 5.0


def entries(log: Path) -> list[Entry]:
    """Every durable entry of the log directory, oldest first."""
    return [parse_entry(data) for _, data in LogDirectory(log).entries()]


def by_call(log: Path) -> dict[str, list[Entry]]:
    """Every durable entry, by call id."""
    found: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries(log):
        found[entry.record.call_id].append(entry)
    return found


def of_call(log: Path, call_id: str) -> list[Entry]:
    """Every durable entry of one call, oldest first."""
    found = [parse_entry(data) for _, data in LogDirectory(log).entries() if call_id.encode() in data]
    return [entry for entry in found if entry.record.call_id == call_id]


def types(log: Path, call_id: str) -> list[str]:
    """The record types of one call, oldest first."""
    return [entry.record.type.value for entry in of_call(log, call_id)]


def outcome(log: Path, call_id: str) -> Record:
    """The outcome of a call; waits for one that is still being written. A call without one fails."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        for entry in of_call(log, call_id):
            if entry.record.type is RecordType.OUTCOME:
                return entry.record
        assert time.monotonic() < deadline, f"no outcome of {call_id} within {WAIT_SECONDS} s"
        time.sleep(0.05)


@dataclass(frozen=True)
class Since:
    """What a broker that several tests use has written and recorded from a moment on."""

    broker: RunningBroker
    written: int
    recorded: int

    @classmethod
    def now(cls, broker: RunningBroker) -> Since:
        recorded = sum(1 for _ in LogDirectory(broker.log).entries())
        return cls(broker, len(broker.errors.read_text()), recorded)

    def said(self) -> str:
        """What it has written on standard error."""
        return self.broker.errors.read_text()[self.written :]

    def entries(self) -> list[Entry]:
        """Every durable entry, oldest first."""
        return [parse_entry(data) for _, data in LogDirectory(self.broker.log).entries(self.recorded)]


def verify(log: Path) -> Done:
    """`broker audit verify`, in a process as an auditor's."""
    return the_nursery().spawn("audit", "verify", str(log)).done()
