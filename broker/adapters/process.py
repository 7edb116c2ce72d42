"""What this process asks of its system: no core dumps, no debugger, enough file descriptors, a certain end.

Knows: Linux process attributes. Elsewhere it does what the system offers.
"""

from __future__ import annotations

import ctypes
import faulthandler
import resource
import sys

_PR_SET_DUMPABLE = 4


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
