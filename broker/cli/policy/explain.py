"""`broker policy explain`: what a folder of policies says of an input, and why.

Knows: how an explanation is shown. Must not know: engines' insides. Exit codes: 0
allowed, 1 denied, 3 could not run. A running broker answers the same question over PolicyService.Explain.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from broker.adapters.policyfiles.source import read_policies
from broker.adapters.rego import EmbeddedAuthorizer
from broker.adapters.rego.preflight import try_policies, try_whole
from broker.adapters.rego.proof import already, has_small_tables
from broker.cli.exitcodes import ExitCode
from broker.cli.options import Json, Policies
from broker.cli.policy import question
from broker.cli.policy.diff_report import open_console, policy_document
from broker.cli.policy.opa import OpaOption, find_opa
from broker.cli.policy.output import NO_OPA
from broker.cli.terminal import printable
from broker.errors import bad_request
from broker.model.explanation import Condition, Explanation, parse_explanation
from broker.ports import DecisionPoint
from broker.services.policy_explainer import decided

Input = Annotated[
    Path | None,
    typer.Argument(metavar="INPUT", help="The input as JSON, - for stdin; absent: a usual chat, by nobody."),
]
Changed = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="A field, e.g. call.model=gpt-4o; JSON or text."),
]
Trace = Annotated[bool, typer.Option("--trace", help="Also OPA's own trace of the decision.")]
Point = Annotated[DecisionPoint, typer.Option("--point", help="Which decision.")]
At = Annotated[
    str | None, typer.Option("--at", metavar="TIME", help="When it is asked, e.g. 2026-11-24T10:43Z.")
]
TimeZone = Annotated[
    str, typer.Option("--time-zone", help="Where weekday and clock of --at are read: policy.time_zone.")
]
CallId = Annotated[
    str | None, typer.Option("--call-id", metavar="ID", help="A recorded call, of the log in --log.")
]
Recorded = Annotated[Path | None, typer.Option("--log", metavar="DIR", help="The log directory.")]


def explain(
    given: Input = None,
    changed: Changed = None,
    point: Point = DecisionPoint.CALLS,
    policies: Policies = Path("policies"),
    at: At = None,
    time_zone: TimeZone = "UTC",
    call_id: CallId = None,
    log: Recorded = None,
    trace: Trace = False,
    opa: OpaOption = None,
    as_json: Json = False,
) -> None:
    """Show what would be decided about an input: the rule, every condition, the smallest change that would be
    allowed.
    """
    point, document = _asked(given, point, call_id, log)
    question.changed(document, changed or ())
    if at is not None:
        question.at(document, at, time_zone)
    said = asyncio.run(_explained(policies, point, document))
    traced = _traced(opa, policies, point, document) if trace else None
    if as_json:
        typer.echo(json.dumps(_shown(said) | ({"trace": traced} if trace else {})))
    else:
        _print(open_console(), said)
        if traced is not None:
            typer.echo(traced)
    raise typer.Exit(ExitCode.FINE if said.allow else ExitCode.BAD)


def _asked(
    given: Path | None, point: DecisionPoint, call_id: str | None, log: Path | None
) -> tuple[DecisionPoint, dict[str, object]]:
    if call_id is None and log is None:
        return point, question.given(given, point)
    if call_id is None or log is None or given is not None:
        raise bad_request(
            "A recorded call is named by --call-id and --log, without INPUT.", "Give these two."
        )
    return question.recorded(log, call_id)


async def _explained(policies: Path, point: DecisionPoint, document: dict[str, object]) -> Explanation:
    engine = await _engine(policies)
    seen = decided(point, await engine.evaluate(point, document))
    conditions, role, team = parse_explanation(point.value, (await engine.explain(point, document)).result)
    return replace(seen, conditions=conditions, role=role, team=team)


async def _engine(policies: Path) -> EmbeddedAuthorizer:
    """The policies, tried elsewhere first: some make the engine abort. For one question they are asked whole,
    which nobody has to prove, unless the engine would load their tables for too long.
    """
    source = read_policies(policies)
    if has_small_tables(source):
        await try_whole(policies)
        return EmbeddedAuthorizer(source)
    return EmbeddedAuthorizer(source, already(await try_policies(policies)))


def _traced(opa: str | None, policies: Path, point: DecisionPoint, document: dict[str, object]) -> str:
    binary = find_opa(opa)
    if binary is None:
        raise bad_request(NO_OPA.format(what="trace"), "Or leave out --trace.")
    return binary.trace(policies, f"data.broker.{point.value}.decision", document)


def _print(console: Console, said: Explanation) -> None:
    word, style = ("allowed", "green") if said.allow else ("denied", "bold red")
    console.print(Text(word, style), Text(printable(f"by {said.rule}: {said.reason}")))
    for change in said.changes:
        console.print(Text(printable(f"    would be allowed with: {change}")))
    if said.role is not None:
        console.print(Text(printable(f"role {said.role}, team {said.team or '–'}")))
    if said.conditions:
        console.print(_conditions(said.conditions))
    console.print(Text(f"policies {said.policy.revision}, sha256 {said.policy.sha256[:16]}", "dim"))


def _conditions(conditions: tuple[Condition, ...]) -> Table:
    table = Table("", "rule", "condition", "given", "wanted")
    for each in conditions:
        cells = (each.rule, each.condition, json.dumps(each.given), json.dumps(each.wanted))
        mark = Text("✓", "green") if each.holds else Text("✗", "bold red")
        table.add_row(mark, *(Text(printable(cell)) for cell in cells))
    return table


def _shown(said: Explanation) -> dict[str, object]:
    return {
        "allow": said.allow,
        "rule": said.rule,
        "reason": said.reason,
        "changes": [str(change) for change in said.changes],
        "policy": policy_document(said.policy),
        "role": said.role,
        "team": said.team,
        "conditions": [
            {
                "rule": each.rule,
                "holds": each.holds,
                "condition": each.condition,
                "given": each.given,
                "wanted": each.wanted,
            }
            for each in said.conditions
        ],
    }
