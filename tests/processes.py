"""Which processes there are, and which a process has started. Knows /proc (Linux)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

STATE, PARENT, GROUP = 0, 1, 2
_STOPS_SECONDS = 10


def stats() -> Iterator[tuple[int, list[str]]]:
    """Each process and its /proc/PID/stat after its name: item 0 is field 3 of proc(5)."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield int(entry.name), (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue


def program(pid: int) -> str:
    """What a process runs: the module behind `-m`, else the name of its first argument that is a file of its
    own (a script), else of the executable. Empty for one that is gone.
    """
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    if "-m" in words[:-1]:
        return words[words.index("-m") + 1]
    is_interpreter = Path(words[0]).name.startswith(("python", "node"))
    script = next((word for word in words[1:] if word and not word.startswith("-")), words[0])
    return Path(script if is_interpreter else words[0]).name


def children(pid: int) -> list[int]:
    """The living children of `pid`."""
    return [each for each, stat in stats() if int(stat[PARENT]) == pid and stat[STATE] != "Z"]


def freeze(pid: int) -> None:
    """SIGSTOP; returns when every thread has stopped: until then one may still answer."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + _STOPS_SECONDS
    while not _stopped(pid):
        assert time.monotonic() < deadline, "it does not stop"
        time.sleep(0.001)


def _stopped(pid: int) -> bool:
    """Threads that are gone by now are none."""
    states = (
        each.read_text().rpartition(")")[2].split()[STATE]
        for each in Path(f"/proc/{pid}/task").glob("*/stat")
    )
    return all(state in "TtZX" for state in states)
