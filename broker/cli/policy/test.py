"""`broker policy test`: do the policies hold their own tests, in both engines, and do the tests reach every
rule.

Knows: whom to ask. Must not know: what a test is. Exit codes: as `broker policy check`.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from broker.adapters.policyfiles.lint import Mistake
from broker.adapters.rego.preflight import Preflight, trial_of
from broker.cli.options import Json, PolicyFolder
from broker.cli.policy.diff_report import open_console, print_verdict
from broker.cli.policy.gate import Outcome
from broker.cli.policy.opa import OpaBinary, OpaOption, OpaTests, find_opa
from broker.cli.policy.output import NO_OPA, counted, mistake_document, print_mistakes
from broker.errors import BrokerError

Least = Annotated[
    float, typer.Option("--coverage", min=0, max=100, help="The least share of rules reached, in %.")
]
_IN_TABLE = "Mend the rule or the table."


def test(
    policies: PolicyFolder = Path("policies"),
    opa: OpaOption = None,
    coverage: Least = 100.0,
    as_json: Json = False,
) -> None:
    """Run the tables of `*_test.rego` in the embedded engine, and every test and its coverage in OPA."""
    binary = find_opa(opa)
    cases, failures = _embedded(policies)
    ours = len(failures)
    theirs, share, missed = _opa(binary, policies, coverage) if binary else (OpaTests(0, ()), None, [])
    failures += [*theirs.failures, *missed]
    outcome = Outcome.BAD if failures else Outcome.GOOD if binary else Outcome.INCOMPLETE
    if as_json:
        document = {
            "verdict": outcome.value,
            "failures": [mistake_document(each) for each in failures],
            "embedded": {"passed": cases - ours if cases else 0, "failed": ours},
            "opa": {"passed": theirs.passed, "failed": len(theirs.failures), "coverage": share}
            if binary
            else None,
        }
        typer.echo(json.dumps(document))
        raise typer.Exit(outcome.exit_code)
    console = open_console()
    print_mistakes(console, failures)
    told = [f"{counted(cases, 'case')} in the embedded engine, {ours} failed"]
    if binary:
        told += [
            f"{counted(theirs.passed + len(theirs.failures), 'test')} in opa, {len(theirs.failures)} failed"
        ]
        told += [f"{share:g} % of the rules are reached"] if share is not None else []
    print_verdict(console, outcome, "; ".join(told))
    if binary is None:
        console.print(NO_OPA.format(what="tests, and those that say `with`,"))
    raise typer.Exit(outcome.exit_code)


def _embedded(policies: Path) -> tuple[int, list[Mistake]]:
    """How many cases there are, and those that fail."""
    try:
        trial: Preflight = asyncio.run(trial_of(policies))
    except BrokerError as error:
        return 0, [Mistake("", 1, error.message, error.remedy)]
    return trial.cases, [
        Mistake(each.file, each.line, f"`{each.name}`: {each.why}", _IN_TABLE) for each in trial.failures
    ]


def _opa(opa: OpaBinary, policies: Path, least: float) -> tuple[OpaTests, float | None, list[Mistake]]:
    """OPA's tests; and, where they pass, how much they reach and what they do not."""
    tests = opa.test(policies)
    if tests.failures:
        return tests, None, []
    share, missed = opa.uncovered(policies)
    return tests, share, missed if share < least else []
