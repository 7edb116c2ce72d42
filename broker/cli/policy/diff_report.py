"""A comparison as people read it, and as JSON.

Knows: terminals. Must not know: where the decisions came from.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from broker.cli.policy.gate import Outcome
from broker.cli.terminal import printable
from broker.model.decision import PolicyVersion
from broker.replay.allow_list import Review, Reviewed
from broker.replay.decision_diff import Comparison, Direction, Flip, Occurrences, by

_ROWS = 40
_SUMMED = 5  # values of a sum that are printed
_FILE_WIDTH = 280  # columns of a table that goes to a file or another program: nothing is cut
_STYLES = {Outcome.GOOD: "green", Outcome.BAD: "bold red", Outcome.INCOMPLETE: "yellow"}
_DIRECTION_STYLES = {Direction.DENY_TO_ALLOW: "red", Direction.ALLOW_TO_DENY: "yellow"}
_SUMS = {"rule": "was", "subject": "subject", "model": "model"}
"""The names of sums, and which field of Flip each adds up."""


def open_console() -> Console:
    """Standard output, wide enough where it is no terminal."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_FILE_WIDTH)


def comparison_document(comparison: Comparison, review: Review) -> dict[str, object]:
    """The comparison as JSON values."""
    return {
        "compared": comparison.compared,
        "agreed": comparison.agreed,
        "agreed_by_another_rule": comparison.other_rule,
        "flips": {direction.value: _flips_document(comparison, direction, review) for direction in Direction},
        "uncovered": review.uncovered,
        "allow_list": {
            "expired": [_entry_document(entry) for entry in review.expired],
            "unused": [_entry_document(entry) for entry in review.unused],
        },
        "not_evaluated": [
            {"point": failure.point, "why": failure.why, "count": seen.count, "samples": seen.samples}
            for failure, seen in comparison.failures.items()
        ],
    }


def policy_document(policy: PolicyVersion) -> dict[str, str]:
    """Which policies, as JSON values."""
    return {"revision": policy.revision, "sha256": policy.sha256}


def print_comparison(console: Console, comparison: Comparison, review: Review) -> None:
    """Flips both ways, DENY→ALLOW first; then what was not evaluated, and what the allow-list is due."""
    for direction in (Direction.DENY_TO_ALLOW, Direction.ALLOW_TO_DENY):
        _print_flips(console, comparison, direction, review)
    if comparison.other_rule:
        console.print(f"{comparison.other_rule:,} more have the same verdict by another rule.")
    for failure, seen in comparison.failures.items():
        console.print(
            Text(
                f"not evaluated: {seen.count:,} {failure.point}, {printable(', '.join(seen.samples))}",
                "yellow",
            )
        )
        console.print(Text(f"  {printable(failure.why)}"))
    for entry in review.expired:
        console.print(
            Text(f"allow-list: expired on {entry.until} and not counted: {_named(entry)}", "yellow")
        )
    for entry in review.unused:
        console.print(Text(f"allow-list: no flip needs {_named(entry)}; take it out."))


def print_outcome(console: Console, outcome: Outcome, comparison: Comparison, review: Review) -> None:
    """The last line: the verdict, and what to try."""
    if outcome is Outcome.BAD:
        told = (
            f"{review.uncovered:,} decisions turn from DENY to ALLOW and nobody reviewed them. "
            "Look at the samples with `broker audit show --call-id`; correct the candidate, or "
            "enter them in the allow-list."
        )
    elif not comparison.compared and not comparison.failures:
        told = "there is nothing to compare. Widen --since and --until, or give another log."
    elif outcome is Outcome.INCOMPLETE:
        told = f"{comparison.failed:,} decisions could not be evaluated. Run the candidate's tests."
    else:
        told = f"{comparison.compared:,} decisions compared, none turns from DENY to ALLOW unreviewed."
    print_verdict(console, outcome, told)


def print_verdict(console: Console, outcome: Outcome, told: str) -> None:
    """The last line of a command that checks something."""
    console.print(Text(f"{outcome.value}: {told}", _STYLES[outcome]))


def _flips_document(comparison: Comparison, direction: Direction, review: Review) -> dict[str, object]:
    flips = comparison.of(direction)
    return {
        "count": comparison.total(direction),
        **{f"by_{name}": by(field, flips) for name, field in _SUMS.items()},
        "groups": [_group_document(flip, seen, review.reviewers.get(flip)) for flip, seen in flips],
    }


def _group_document(flip: Flip, seen: Occurrences, reviewed: Reviewed | None) -> dict[str, object]:
    return {
        "point": flip.point,
        "rule": flip.was,
        "candidate_rule": flip.now,
        "subject": flip.subject,
        "operation": flip.operation,
        "model": flip.model,
        "count": seen.count,
        "samples": seen.samples,
        "reviewed_by": reviewed.reviewed_by if reviewed else None,
    }


def _entry_document(entry: Reviewed) -> dict[str, str]:
    return {
        "point": entry.point,
        "subject": entry.subject,
        "operation": entry.operation,
        "model": entry.model,
        "rule": entry.rule,
        "reviewed_by": entry.reviewed_by,
        "until": entry.until.isoformat(),
    }


def _print_flips(console: Console, comparison: Comparison, direction: Direction, review: Review) -> None:
    flips, total = comparison.of(direction), comparison.total(direction)
    if not flips:
        console.print(f"{direction.arrow}: none")
        return
    console.print(Text(f"{direction.arrow}: {total:,}", _DIRECTION_STYLES[direction]))
    for name, field in _SUMS.items():
        console.print(Text(f"  by {name}: {_summed(by(field, flips))}"))
    console.print(_table(flips[:_ROWS], review))
    if len(flips) > _ROWS:
        console.print(f"… and {len(flips) - _ROWS} more rows: see --json.")


def _table(flips: Sequence[tuple[Flip, Occurrences]], review: Review) -> Table:
    table = Table("count", "rule", "candidate's rule", "subject", "operation", "model", "reviewed", "samples")
    for column in table.columns:
        column.overflow = "fold"
    for flip, seen in flips:
        entry = review.reviewers.get(flip)
        reviewed = f"{entry.reviewed_by}, until {entry.until}" if entry else ""
        cells = (
            flip.was,
            flip.now,
            flip.subject,
            flip.operation,
            flip.model,
            reviewed,
            " ".join(seen.samples),
        )
        table.add_row(f"{seen.count:,}", *(Text(printable(cell)) for cell in cells))
    return table


def _summed(counts: dict[str, int]) -> str:
    shown = [f"{printable(name) or '(none)'} {count:,}" for name, count in list(counts.items())[:_SUMMED]]
    return ", ".join(shown) + (f" and {len(counts) - _SUMMED} more" if len(counts) > _SUMMED else "")


def _named(entry: Reviewed) -> str:
    patterns = (entry.point, entry.subject, entry.operation, entry.model, entry.rule)
    return printable(f"{' '.join(patterns)} (reviewed by {entry.reviewed_by})")
