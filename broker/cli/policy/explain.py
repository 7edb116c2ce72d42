"""`broker policy explain`: what a folder of policies says of an input, and why.

Knows: how a question is put together and an explanation shown. Must not know: engines' insides. Exit codes: 0
allowed, 1 denied, 3 could not run. A running broker answers the same question over PolicyService.Explain.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from broker import strictjson
from broker.adapters.rego import EmbeddedAuthorizer
from broker.cli.policy.flip_report import open_console, policy_document, printable
from broker.cli.policy.gate import AsJson
from broker.cli.policy.opa import OpaOption, find_opa
from broker.cli.policy.telling import NO_OPA
from broker.errors import BrokerError, Kind
from broker.explaining import decided
from broker.model.explanation import Condition, Explanation, parse_explanation
from broker.ports import DecisionPoint

_DENIED = 1
_USUAL: dict[str, object] = {
    "v": 1,
    "subject": {"id": "spiffe://nobody/here", "tenant": "here", "actor_chain": []},
    "token": {"id": "tok_0", "scope": ["chat"], "user": None, "max_tokens": None},
    "call": {
        "operation": "chat",
        "model": "gpt-4o-mini",
        "stream": False,
        "user": None,
        "parameters": {},
        "fields": ["messages", "model"],
        "bytes": 100,
        "purpose": None,
        "reaches": [],
        "references": [],
    },
    "findings": [],
    "estimate": {"tokens_in": 10, "tokens_out_max": 1000, "cost_micro_usd": 10, "known_model": True},
    "transport": "https",
    "now_ns": 1_795_517_000_000_000_000,
    "time": {"utc": "2026-11-24T10:43Z", "weekday": 2, "clock": "10:43"},
}
"""What a call without `INPUT` begins with: schema/calls.input.json describes each field."""

Input = Annotated[
    Path | None,
    typer.Argument(metavar="INPUT", help="The input as JSON, - for stdin; absent: a usual chat, by nobody."),
]
Changed = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="A field, e.g. call.model=gpt-4o; JSON or text."),
]
Policies = Annotated[Path, typer.Option("--policies", metavar="DIR", help="The folder of policies.")]
Trace = Annotated[bool, typer.Option("--trace", help="Also OPA's own trace of the decision.")]
Point = Annotated[DecisionPoint, typer.Option("--point", help="Which decision.")]


def explain(
    given: Input = None,
    changed: Changed = None,
    point: Point = DecisionPoint.CALLS,
    policies: Policies = Path("policies"),
    trace: Trace = False,
    opa: OpaOption = None,
    as_json: AsJson = False,
) -> None:
    """Show what would be decided about an input: the rule, every condition, the smallest change that would be
    allowed.
    """
    document = _read(given, point)
    for each in changed or ():
        _set(document, each)
    said = asyncio.run(_explained(policies, point, document))
    traced = _traced(opa, policies, point, document) if trace else None
    if as_json:
        typer.echo(json.dumps(_shown(said) | ({"trace": traced} if trace else {})))
    else:
        _print(open_console(), said)
        if traced is not None:
            typer.echo(traced)
    raise typer.Exit(0 if said.allow else _DENIED)


async def _explained(policies: Path, point: DecisionPoint, document: dict[str, object]) -> Explanation:
    engine = EmbeddedAuthorizer(policies)
    seen = decided(point, await engine.evaluate(point, document))
    conditions, role, team = parse_explanation(point.value, (await engine.explain(point, document)).result)
    return replace(seen, conditions=conditions, role=role, team=team)


def _traced(opa: str | None, policies: Path, point: DecisionPoint, document: dict[str, object]) -> str:
    binary = find_opa(opa)
    if binary is None:
        raise _bad(NO_OPA.format(what="trace"), "Or leave out --trace.")
    return binary.trace(policies, f"data.broker.{point.value}.decision", document)


def _read(given: Path | None, point: DecisionPoint) -> dict[str, object]:
    if given is None:
        if point is not DecisionPoint.CALLS:
            raise _bad(
                "There is no usual input of this point.", f"Give one: see schema/{point.value}.input.json"
            )
        return json.loads(json.dumps(_USUAL))  # type: ignore[no-any-return]  # a copy of the object above
    try:
        document = strictjson.parse(sys.stdin.buffer.read() if str(given) == "-" else given.read_bytes())
    except strictjson.StrictJsonError:
        document = None
    if not isinstance(document, dict):
        raise _bad("The input is no JSON object.", f"See schema/{point.value}.input.json in the policies.")
    return document


def _set(document: dict[str, object], change: str) -> None:
    """Puts a value at a path whose objects exist; what is no JSON is text."""
    path, equals, text = change.partition("=")
    *parents, last = path.split(".")
    place: object = document
    for name in parents:
        place = place.get(name) if isinstance(place, dict) else None
    if not isinstance(place, dict) or not equals or not last:
        raise _bad(f"--set {path} names no field of the input.", "Write it as call.parameters.n=2")
    try:
        place[last] = json.loads(text)
    except ValueError:
        place[last] = text


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


def _bad(message: str, remedy: str) -> BrokerError:
    return BrokerError(Kind.BAD_REQUEST, message, remedy=remedy)
