"""A SQLite file that is a projection of a log: anybody may delete it, and it is made anew.

Knows what SQLite keeps beside a file. Must not know what is in it.
"""

from __future__ import annotations

from pathlib import Path


def remove(path: Path) -> None:
    """Removes the file, with all that lies beside it. Raises OSError."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
