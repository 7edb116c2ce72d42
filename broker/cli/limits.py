"""`broker limits show|top|reset`: what is left of limits, and having one begin anew.

Knows: the routes under /limits, and how a limit is shown. Must not know: how one is counted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table

from broker.cli.options import Json, grouped
from broker.cli.replies import deny, harmless
from broker.cli.target import TargetOptions, resolve, verdict
from broker.client import BrokerAuth
from broker.model.units import MICRO_PER_USD, SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_MINUTE

app = typer.Typer(no_args_is_help=True, help="What is left of limits; have one begin anew.")
_TIMEOUT = httpx.Timeout(30, connect=5)
_PERCENT = 100
_MONEY = "micro_usd"

Limits = Sequence[Mapping[str, Any]]
Most = Annotated[int, typer.Option("--most", min=1, max=1000, help="How many at most.")]
_NOTHING_TAKEN = "There is no limit of which anything is taken."
_NO_LIMIT = "Policy limits no such call."


@app.command()
@grouped
def show(
    *,
    named: Annotated[str, typer.Argument(help="Part of a limit's name; all where it is left out.")] = "",
    mine: Annotated[bool, typer.Option("--mine", help="What my own calls count against.")] = False,
    operation: Annotated[str, typer.Option(help="With --mine: a call of which kind.")] = "chat",
    model: Annotated[str, typer.Option(help="With --mine: of which model.")] = "gpt-4o-mini",
    most: Most = 100,
    chosen: TargetOptions,
    as_json: Json = False,
) -> None:
    """Shows limits and what is taken of each; those first that are nearly used up. Without --mine it needs
    the right limits.read.
    """
    with verdict():
        if mine:
            limits = _asked(chosen, "/limits/mine", {"operation": operation, "model": model}, token=True)
            head = "limit", "left", "of", "free again"
            _print(limits, _own_row, head, as_json=as_json, none=_NO_LIMIT)
        else:
            limits = _asked(chosen, "/limits", {"named": named, "most": str(most)})
            _print(limits, _row, ("limit", "taken", "of", "%", "until"), as_json=as_json)
            if len(limits) == most:
                remedy = "Name a part of those you look for, or ask for more with --most."
                typer.echo(f"These are the first {most}; there may be more. {remedy}", err=True)


@app.command()
@grouped
def top(
    *,
    most: Most = 10,
    chosen: TargetOptions,
    as_json: Json = False,
) -> None:
    """Shows the limits of which the largest part is taken. Needs the right limits.read."""
    with verdict():
        limits = _asked(chosen, "/limits", {"most": str(most)})
        _print(limits, _row, ("limit", "taken", "of", "%", "until"), as_json=as_json)


@app.command()
@grouped
def reset(
    *,
    limit: Annotated[str, typer.Argument(help="The limit's name, as `broker limits show` tells it.")],
    chosen: TargetOptions,
    as_json: Json = False,
) -> None:
    """Gives back what calls that are over have taken of a limit, in the window of now; what is under way
    stays. It is recorded. Needs the right limits.reset.
    """
    with verdict():
        limits = _asked(chosen, "/limits/reset", {"limit": limit}, post=True)
        _print(limits, _given_row, ("limit", "given back"), as_json=as_json)


def _asked(
    chosen: TargetOptions, path: str, fields: Mapping[str, str], *, token: bool = False, post: bool = False
) -> Limits:
    target = resolve(chosen)
    auth = BrokerAuth(target.https, chosen.wish()) if token else None
    context = target.credentials.ssl_context()
    with httpx.Client(auth=auth, verify=context, timeout=_TIMEOUT, trust_env=False) as http:
        url = target.https + path
        reply = http.post(url, data=fields) if post else http.get(url, params=fields)
    if reply.is_error:
        deny(reply)
    limits: Limits = reply.json()["limits"]
    return limits


def _print(
    limits: Limits, row: Any, head: Sequence[str], *, as_json: bool, none: str = _NOTHING_TAKEN
) -> None:
    if as_json:
        typer.echo(json.dumps({"limits": limits}))
        return
    if not limits:
        typer.echo(none)
        return
    table = Table(*head)
    for column in table.columns[1:]:
        column.justify = "right"
        column.no_wrap = True
    table.columns[0].overflow = "fold"
    for each in limits:
        table.add_row(*row(each))
    Console(markup=False, emoji=False, highlight=False).print(table)


def _own_row(limit: Mapping[str, Any]) -> tuple[str, ...]:
    unit, reset = limit["unit"], limit["reset_seconds"]
    free = "when one ends" if reset is None else f"in {_span(reset)}"
    return harmless(limit["limit"]), _bare(limit["remaining"], unit), _amount(limit["cap"], unit), free


def _row(limit: Mapping[str, Any]) -> tuple[str, ...]:
    unit, cap, taken, seconds = limit["unit"], limit["cap"], limit["taken"], limit["seconds"]
    part = f"{_PERCENT * taken // cap}" if cap else "–"
    of = _unit(unit) if cap is None else _amount(cap, unit)
    until = _moment(limit["start"] + seconds) if seconds else "it ends"
    return harmless(limit["limit"]), _bare(taken, unit), of, part, until


def _given_row(limit: Mapping[str, Any]) -> tuple[str, ...]:
    return harmless(limit["limit"]), _amount(limit["taken"], limit["unit"])


def _amount(amount: int, unit: str) -> str:
    """Money in dollars; what else is counted with its unit.

    >>> _amount(1_234_567, "micro_usd"), _amount(3, "concurrent_calls"), _amount(20_000, "tokens")
    ('$1.23', '3 calls', '20,000 tokens')
    """
    return f"{_bare(amount, unit)} {_unit(unit)}".rstrip()


def _bare(amount: int, unit: str) -> str:
    return f"${amount / MICRO_PER_USD:,.2f}" if unit == _MONEY else f"{amount:,}"


def _unit(unit: str) -> str:
    return "" if unit == _MONEY else unit.removeprefix("concurrent_")


def _moment(second: int) -> str:
    try:
        return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d %H:%M:%SZ}"
    except (OverflowError, ValueError):
        return "the end of time"


def _span(seconds: float) -> str:
    """
    >>> [_span(each) for each in (0.2, 59, 3_700, 200_000)]
    ['1 s', '59 s', '1:01:40', '2 days 7:33:20']
    """
    days, rest = divmod(max(1, round(seconds)), SECONDS_PER_DAY)
    hours, rest = divmod(rest, SECONDS_PER_HOUR)
    minutes, left = divmod(rest, SECONDS_PER_MINUTE)
    clock = f"{hours}:{minutes:02}:{left:02}" if days or hours or minutes else f"{left} s"
    return f"{days} days {clock}" if days else clock
