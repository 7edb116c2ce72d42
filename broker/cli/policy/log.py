"""The log that a policy command reads: some types of records, of some period.

Knows: log directories and entries. Must not know: what the records are wanted for. Verifies nothing: that is
`broker audit verify`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Annotated

import typer

from broker.adapters.ledger.directory import LogDirectory
from broker.cli.policy.period import Period
from broker.errors import BrokerError, Kind
from broker.model.record import RecordType
from broker.tlog.entry import Entry, parse_entry
from broker.tlog.malformed import MalformedError

LogOption = Annotated[Path, typer.Option("--log", metavar="DIR", help="The log directory, live or a copy.")]


class RecordedLog:
    """One log directory. Raises BrokerError where there is none, or where it is damaged; and OSError."""

    def __init__(self, directory: Path) -> None:
        if not any((directory / name).exists() for name in ("checkpoint", "wal", "tile")):
            raise BrokerError(
                Kind.BAD_REQUEST,
                "There is no log in the directory of --log.",
                remedy="Give the one that holds `checkpoint` and `tile`; `logs` in dev.json names it.",
            )
        self._log = LogDirectory(directory)

    def size(self) -> int | None:
        """About how many entries there are, for a progress bar; None where nobody can tell yet."""
        lines = (self._log.checkpoint() or b"").split(b"\n")
        return int(lines[1]) if len(lines) > 1 and lines[1].isdigit() else None

    def entries(
        self, types: Collection[RecordType], period: Period, progress: Callable[[int], None] | None = None
    ) -> Iterator[Entry]:
        """The entries of these types and this period, oldest first. `progress` is told of all that are read.

        Others are passed over unread: canonical JSON shows a type in one way only, and no string can hold it,
        since its quotes would be escaped.
        """
        marks = tuple(f'"type":"{kind.value}"'.encode() for kind in types)
        try:
            for seq, data in self._log.entries():
                if progress is not None:
                    progress(seq + 1)
                if any(mark in data for mark in marks):
                    entry = parse_entry(data)
                    if period.holds(entry.place.time_us):
                        yield entry
        except MalformedError as error:
            raise BrokerError(
                Kind.AUDIT_UNAVAILABLE,
                f"The log is damaged: {error}.",
                remedy="Run `broker audit verify` on it.",
            ) from None
