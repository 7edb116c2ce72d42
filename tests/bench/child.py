"""One started process with all that it starts in turn: its CPU time, its memory, its end.

Knows process groups. Must not know what the process is.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.processes import GROUP, program, stats

from .errors import BenchError

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
STOP_SECONDS = 5.0
POLL_SECONDS = 0.05
LOG_TAIL = 1500


class Child:
    """A process in a session of its own, so that its group is exactly what it started.

    Its environment is `environment` and a search path: a gateway sees no proxy setting and no key of
    the person who runs this.
    """

    def __init__(self, name: str, argv: Sequence[str], *, folder: Path, environment: dict[str, str]) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        clean = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder), "LANG": "C.UTF-8"}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                argv,
                cwd=folder,
                env=clean | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def cpu_seconds(self) -> dict[str, float]:
        """User and system time so far, by program, of the whole group; with children that were already waited
        for (proc(5)).
        """
        used: dict[str, float] = {}
        for pid, stat in self._group():
            name = program(pid)
            used[name] = used.get(name, 0.0) + sum(int(value) for value in stat[11:15]) / TICKS
        return used

    def resident_bytes(self) -> int:
        """Resident memory of the whole group; pages shared between its processes count for each."""
        return sum(int(stat[21]) * PAGE for _, stat in self._group())

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Polls `ready`. Raises BenchError, with the end of the log, when the process ends or time does."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self._process.poll() is not None:
                raise BenchError(
                    f"{self.name} ended with {self._process.returncode}. Its log:\n{self.log_tail()}"
                )
            if time.monotonic() > deadline:
                raise BenchError(
                    f"{self.name} was not ready after {seconds:.0f} s. Its log:\n{self.log_tail()}"
                )
            time.sleep(POLL_SECONDS)

    def log_tail(self) -> str:
        """The last lines it printed."""
        return self.log.read_text(errors="replace")[-LOG_TAIL:]

    def stop(self) -> None:
        """Asks the group to end, then makes it; returns when nothing of it is left."""
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return

    def _group(self) -> Iterator[tuple[int, list[str]]]:
        return ((pid, stat) for pid, stat in stats() if int(stat[GROUP]) == self._process.pid)
