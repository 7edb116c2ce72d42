"""`broker policy replay`: what a candidate would have decided where the log says what was.

Knows: the order (load, read, evaluate side by side, compare, report). Must not know: how a policy is
evaluated, how a report looks.
Exit codes: 0 fine, 1 a DENY→ALLOW that nobody reviewed, 2 not everything could be evaluated, or nothing was
there, 3 could not run.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from broker.cli.options import Json
from broker.cli.policy.candidate import Candidate, CandidateQuestions
from broker.cli.policy.diff_report import (
    comparison_document,
    open_console,
    policy_document,
    print_comparison,
    print_outcome,
)
from broker.cli.policy.gate import AllowListOption, Outcome, Samples, outcome, read_allow_list
from broker.cli.policy.log import LogOption, RecordedLog
from broker.cli.policy.period import Period, Since, Until, period
from broker.cli.terminal import printable
from broker.model.decision import PolicyVersion
from broker.ports import DecisionPoint
from broker.replay.allow_list import Review, review
from broker.replay.decision_diff import Comparison
from broker.replay.recorded import DECIDED, LeftOut, Recorded, recorded_decision

_SHAPED = (
    "Only verdicts are compared: what the candidate would shape, limit or redact in calls that both allow is "
    "not, since the log does not hold what the live policy said of it."
)


class Point(StrEnum):
    """Which decisions are replayed."""

    CALLS = "calls"
    TOKENS = "tokens"
    ADMIN = "admin"
    ALL = "all"

    def takes(self, point: DecisionPoint) -> bool:
        """Whether it is one of them."""
        return self is Point.ALL or self.value == point.value


@dataclass(slots=True)
class Replayed:
    """What a replay counted. `refused` are calls that policy allowed and the broker then refused, by why."""

    policy: PolicyVersion
    comparison: Comparison
    left_out: Counter[LeftOut] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)


def replay(
    log: LogOption,
    policies: Annotated[Path, typer.Option(metavar="DIR", help="The candidate: a folder of Rego and data.")],
    since: Since = None,
    until: Until = None,
    point: Annotated[Point, typer.Option(help="Which decisions.")] = Point.ALL,
    allow_list: AllowListOption = None,
    samples: Samples = 3,
    as_json: Json = False,
) -> None:
    """Evaluate a candidate over the recorded inputs of decisions, and print where its verdict differs.

    Exits 1 on any DENY→ALLOW that no reviewed entry of the allow-list covers: a gate for CI.
    """
    now = datetime.now(UTC)
    entries, wanted, source = read_allow_list(allow_list), period(since, until, now), RecordedLog(log)
    with Candidate(policies) as candidate, _progress(shown=not as_json) as progress:
        replayed = Replayed(candidate.version, Comparison(samples))
        task = progress.add_task("records", total=source.size())
        recorded = _recorded(
            source, wanted, point, replayed, lambda seq: progress.update(task, completed=seq)
        )
        for found, decision in candidate.judge(recorded):
            if isinstance(decision, str):
                replayed.comparison.fail(found.recorded_input, decision)
            else:
                replayed.comparison.compare(found.recorded_input, found.decision, decision)
    reviewed = review(replayed.comparison.flips.items(), entries, now.date())
    verdict = outcome(replayed.comparison, reviewed)
    if as_json:
        sys.stdout.write(json.dumps(_document(replayed, reviewed, verdict)) + "\n")
    else:
        _print(replayed, reviewed, verdict)
    raise typer.Exit(verdict.exit_code)


def _recorded(
    source: RecordedLog, wanted: Period, point: Point, replayed: Replayed, progress: Callable[[int], None]
) -> Iterator[tuple[Recorded, CandidateQuestions]]:
    """The recorded decisions and their questions; counts what is left out."""
    for entry in source.entries(DECIDED, wanted, progress):
        found = recorded_decision(entry.record)
        if isinstance(found, LeftOut):
            replayed.left_out[found] += 1
        elif point.takes(found.recorded_input.point):
            if found.refused is not None:
                replayed.refused[found.refused] += 1
            yield found, CandidateQuestions(found.recorded_input.point, found.policy_input)


def _progress(*, shown: bool) -> Progress:
    columns = (TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not (shown and console.is_terminal))


def _document(replayed: Replayed, reviewed: Review, verdict: Outcome) -> dict[str, object]:
    return {
        "verdict": verdict.value,
        "candidate": policy_document(replayed.policy),
        **comparison_document(replayed.comparison, reviewed),
        "left_out": {why.name.lower(): count for why, count in replayed.left_out.items()},
        "allowed_then_refused": dict(replayed.refused),
        "note": _SHAPED,
    }


def _print(replayed: Replayed, reviewed: Review, verdict: Outcome) -> None:
    console = open_console()
    comparison = replayed.comparison
    console.print(Text(f"candidate {replayed.policy.revision}, sha256 {replayed.policy.sha256}"))
    console.print(f"{comparison.compared:,} decisions replayed, {comparison.agreed:,} with the same verdict")
    print_comparison(console, comparison, reviewed)
    for why, count in replayed.left_out.most_common():
        console.print(f"left out: {count:,} {why.value}")
    for reason, count in replayed.refused.most_common():
        console.print(
            Text(f"counted as allowed: {count:,} that policy allowed and {printable(reason)} stopped")
        )
    console.print(_SHAPED)
    print_outcome(console, verdict, comparison, reviewed)
