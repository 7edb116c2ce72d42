"""Hardening of this process: no core dumps, no debugger, enough file descriptors.

Knows: Linux process attributes. Elsewhere it does what the system offers.
"""

from __future__ import annotations

import ctypes
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
