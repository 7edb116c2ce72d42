"""An exclusive lock on an open file (flock(2)): it ends with the descriptor, and so with the process.

Knows one system call. Must not know what is locked, or what to tell whoever comes second.
"""

from __future__ import annotations

import errno
import fcntl


def try_lock(descriptor: int) -> bool:
    """Whether the lock is ours now; False where somebody has it. Never waits. Raises OSError."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in {errno.EAGAIN, errno.EACCES}:
            raise
        return False
    return True
