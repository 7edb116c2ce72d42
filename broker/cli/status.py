"""`broker status`: the processes of a running broker.

Knows: its console. Must not know: what a process does.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table

from broker.cli.exitcodes import ExitCode
from broker.cli.options import Json
from broker.cli.terminal import escaped
from broker.config import load
from broker.model.process import ProcessStatus

_SECONDS = 5.0
_MIB = 1024**2


def status(
    console: Annotated[
        str | None, typer.Option("--console", help="The URL of its console: http://host:port.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Without --console: the broker's configuration.")
    ] = None,
    dev: Annotated[
        Path, typer.Option("--dev", help="Without both: dev.json of `broker dev`, or its folder.")
    ] = Path(".broker/dev.json"),
    *,
    as_json: Json = False,
) -> None:
    """Shows the processes of a running broker: since when, calls, memory. Exit 1 where it serves no calls."""
    told = _told(console or _console_of(config, dev))
    missing = str(told["missing"])
    if as_json:
        typer.echo(json.dumps(told))
    else:
        _print([ProcessStatus(**each) for each in told["processes"]])
        typer.echo(f"not ready: {missing}" if missing else "ready")
    if missing:
        raise typer.Exit(ExitCode.BAD)


def _console_of(config: Path | None, dev: Path) -> str:
    if config is not None:
        return f"http://{load(config).server.console}"
    file = dev / "dev.json" if dev.is_dir() else dev
    return str(json.loads(file.read_text())["console"])


def _told(url: str) -> dict[str, Any]:
    try:
        reply = httpx.get(f"{url.rstrip('/')}/status", timeout=_SECONDS)
        reply.raise_for_status()
        told: dict[str, Any] = reply.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        typer.echo(
            f"broker: nothing tells how it is at {url}: {type(error).__name__}. "
            "Is it running? Try: the console's address of its configuration (server.console).",
            err=True,
        )
        raise typer.Exit(ExitCode.COULD_NOT_RUN) from None
    return told


def _print(processes: list[ProcessStatus]) -> None:
    table = Table("process", "pid", "since", "calls", "memory (MiB)")
    for each in processes:
        since = datetime.fromtimestamp(each.since, UTC).isoformat(timespec="seconds") if each.since else "–"
        calls = str(each.calls) if each.role.startswith(("worker", "broker")) else "–"
        memory = str(each.memory_bytes // _MIB) if each.memory_bytes else "–"
        table.add_row(escaped(each.role), str(each.pid), since, calls, memory)
    Console().print(table)
