"""The verdict of a gate on DENY→ALLOW flips, and its exit code.

Knows: exit codes, the allow-list's file. Must not know: where the decisions came from, or how it is told.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from broker.cli.exitcodes import ExitCode
from broker.errors import BrokerError, Kind
from broker.replay.allow_list import AllowListError, Review, Reviewed, parse_allow_list
from broker.replay.decision_diff import Comparison

AllowListOption = Annotated[
    Path | None, typer.Option("--allow-list", metavar="FILE", help="JSON: the DENY→ALLOW flips reviewed.")
]
Samples = Annotated[int, typer.Option(min=0, help="Call ids to show of each flip.")]


class Outcome(StrEnum):
    """Good: no DENY→ALLOW that nobody reviewed. Incomplete: not everything was decided, or nothing."""

    GOOD = "good"
    BAD = "bad"
    INCOMPLETE = "incomplete"

    @property
    def exit_code(self) -> ExitCode:
        """As every command's."""
        return _EXIT[self]


_EXIT = {
    Outcome.GOOD: ExitCode.FINE,
    Outcome.BAD: ExitCode.BAD,
    Outcome.INCOMPLETE: ExitCode.INCOMPLETE,
}


def read_allow_list(file: Path | None) -> tuple[Reviewed, ...]:
    """Nothing where no file is given. Raises BrokerError BAD_REQUEST for one that is no allow-list."""
    if file is None:
        return ()
    try:
        return parse_allow_list(file.read_bytes())
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
    except AllowListError as error:
        what = f"cannot be used: {error}"
    raise BrokerError(
        Kind.BAD_REQUEST,
        f"The allow-list {what}.",
        remedy='Write {"flips": [{"point": "calls", …}]}, each with point, subject, operation, model, '
        "rule (patterns with *), reviewed_by, and until (2026-12-31).",
    )


def outcome(comparison: Comparison, review: Review) -> Outcome:
    """A flip that nobody reviewed is worse than what could not be evaluated."""
    if review.uncovered:
        return Outcome.BAD
    return Outcome.INCOMPLETE if comparison.failures or not comparison.compared else Outcome.GOOD
