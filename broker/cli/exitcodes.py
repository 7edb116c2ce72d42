"""What the exit code of every command means.

Knows: the four of them. Must not know: a command.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """0 to 3, as the README's table says; typer's own 2, for a wrong command line, is 3 here."""

    FINE = 0
    BAD = 1
    """What was checked is bad, or the broker said no."""
    INCOMPLETE = 2
    COULD_NOT_RUN = 3
