"""`broker policy shadow report`: what a candidate would have decided on live calls, as the log recorded it.

Knows: shadow records, and which records hold what was enforced. Must not know: who evaluated them. Exit
codes: as `broker policy replay`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import typer
from rich.text import Text

from broker.cli.options import Json
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
from broker.model.record import Record, RecordType
from broker.replay.allow_list import Review, review
from broker.replay.decision_diff import Comparison
from broker.replay.recorded import DECIDED, Decision, recorded_input_of

app = typer.Typer(no_args_is_help=True, help="What a candidate would have decided on live calls.")
_UNKNOWN = "(unknown)"
_ALWAYS = Period()


@dataclass(frozen=True, slots=True)
class _Reported:
    """One candidate, and how it compares with what was enforced meanwhile."""

    policy: PolicyVersion
    comparison: Comparison
    review: Review = field(default_factory=Review)

    @property
    def outcome(self) -> Outcome:
        return outcome(self.comparison, self.review)


@app.callback()
def shadow() -> None:
    """What a candidate would have decided on live calls."""


@app.command()
def report(
    log: LogOption,
    since: Since = None,
    until: Until = None,
    allow_list: AllowListOption = None,
    samples: Samples = 3,
    as_json: Json = False,
) -> None:
    """Print how often each candidate in the log agreed with what was enforced, and where it did not."""
    now = datetime.now(UTC)
    entries, source = read_allow_list(allow_list), RecordedLog(log)
    found = [
        _Reported(policy, comparison, review(comparison.flips.items(), entries, now.date()))
        for policy, comparison in _compared(source, period(since, until, now), samples).items()
    ]
    verdict = max((each.outcome for each in found), key=_severity, default=Outcome.INCOMPLETE)
    if as_json:
        candidates = [
            {"verdict": each.outcome.value, "candidate": policy_document(each.policy)}
            | comparison_document(each.comparison, each.review)
            for each in found
        ]
        sys.stdout.write(json.dumps({"verdict": verdict.value, "candidates": candidates}) + "\n")
    else:
        _print(found)
    raise typer.Exit(verdict.exit_code)


def _compared(source: RecordedLog, wanted: Period, samples: int) -> dict[PolicyVersion, Comparison]:
    """A comparison for each candidate, the oldest first."""
    turned = {each.call_id for each in _shadows(source, wanted) if _turned(each)}
    rules = _enforced_rules(source, turned)
    found: dict[PolicyVersion, Comparison] = {}
    for record in _shadows(source, wanted):
        policy = PolicyVersion(record.policy_revision or "", record.policy_sha256 or "")
        comparison = found.setdefault(policy, Comparison(samples))
        recorded_input = recorded_input_of(record)
        if record.decision == "refuse":
            comparison.fail(recorded_input, "The candidate gave no decision in time, or none that is one.")
            continue
        after = Decision(record.decision == "allow", record.rule or "")
        before = Decision(record.enforced == "allow", rules.get(record.call_id, _UNKNOWN))
        same = before.allow == after.allow
        comparison.compare(recorded_input, replace(before, rule=after.rule) if same else before, after)
    return found


def _shadows(source: RecordedLog, wanted: Period) -> Iterator[Record]:
    return (entry.record for entry in source.entries((RecordType.SHADOW,), wanted))


def _turned(record: Record) -> bool:
    return record.decision not in ("refuse", record.enforced)


def _enforced_rules(source: RecordedLog, call_ids: set[str]) -> dict[str, str]:
    """The rule that really ruled, for each of these calls: their own records tell it, whenever they were."""
    if not call_ids:
        return {}
    return {
        entry.record.call_id: entry.record.rule or _UNKNOWN
        for entry in source.entries(DECIDED, _ALWAYS)
        if entry.record.call_id in call_ids
    }


def _severity(verdict: Outcome) -> int:
    return (Outcome.GOOD, Outcome.INCOMPLETE, Outcome.BAD).index(verdict)


def _print(found: list[_Reported]) -> None:
    console = open_console()
    for each in found:
        comparison = each.comparison
        share = f" ({comparison.agreed / comparison.compared:.2%})" if comparison.compared else ""
        console.print(Text(f"candidate {printable(each.policy.revision)}, sha256 {each.policy.sha256}"))
        console.print(f"{comparison.compared:,} decisions compared, {comparison.agreed:,}{share} the same")
        print_comparison(console, comparison, each.review)
        print_outcome(console, each.outcome, comparison, each.review)
    if not found:
        print_outcome(console, Outcome.INCOMPLETE, Comparison(0), Review())
