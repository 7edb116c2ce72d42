"""What this process asks of its system: no core dumps, no debugger, enough file descriptors, a certain end.

Knows: Linux process attributes. Elsewhere it does what the system offers.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import resource
import sys
from pathlib import Path

from broker.model.process import ProcessStatus

_PR_SET_DUMPABLE = 4
_STARTED = 19  # field 22, of which the first two stand before


def harden() -> None:
    """Keys live in this process's memory: nobody may read it as a core file or through ptrace."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def end_within(seconds: float) -> None:
    """Ends the process after so long whatever hangs by then, the interpreter's lock included: standard error
    says where each thread stands (files and functions, no values), and the exit code is 1. Ask it once.
    """
    faulthandler.dump_traceback_later(seconds, exit=True, file=sys.stderr)


def status_of(role: str, pid: int, calls: int = 0) -> ProcessStatus:
    """What the system tells of a process (proc(5)); nothing elsewhere than on Linux, or where it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        booted = next(
            int(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines() if "btime" in line
        )
    except OSError:
        return ProcessStatus(role, pid, 0, 0, calls)
    since = booted + int(fields[_STARTED]) // os.sysconf("SC_CLK_TCK")
    return ProcessStatus(role, pid, since, pages * os.sysconf("SC_PAGE_SIZE"), calls)
