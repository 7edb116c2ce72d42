"""Which processes there are, and which a process has started. Knows /proc (Linux)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

STATE, PARENT, GROUP = 0, 1, 2


def stats() -> Iterator[tuple[int, list[str]]]:
    """Each process and its /proc/PID/stat after its name: item 0 is field 3 of proc(5)."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield int(entry.name), (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue


def children(pid: int) -> list[int]:
    """The living children of `pid`."""
    return [each for each, stat in stats() if int(stat[PARENT]) == pid and stat[STATE] != "Z"]
