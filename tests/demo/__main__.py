"""Runs the demo and prints its transcript. Exit 0 only when every step did as expected."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import grpc
import httpx
import openai
from rich.console import Console

from tests.demo.steps import Shown, Step, UnexpectedError, steps
from tests.running import RunningBroker, start_broker

OUT = Console(highlight=False, soft_wrap=True)
Records = dict[str, list[dict[str, object]]]


def main() -> int:
    """The whole demo; the number of failed steps decides the exit code."""
    with tempfile.TemporaryDirectory(prefix="broker-demo-") as folder:
        OUT.print("[bold]broker demo[/]  one process, everything embedded, a simulated OpenAI behind it\n")
        broker = start_broker(Path(folder) / "broker")
        try:
            taken = [(step, _take(step, broker)) for step in steps()]
        finally:
            broker.stop()
        records = _recorded(broker)
        failed = sum(not _show(step, shown, records) for step, shown in taken)
        failed += not _verified(broker)
    OUT.print(f"demo: {len(taken) + 1 - failed} passed, {failed} failed")
    return 1 if failed else 0


def _take(step: Step, broker: RunningBroker) -> Shown | str:
    """What the step showed, or in a string how it failed."""
    try:
        return step.act(broker)
    except UnexpectedError as error:
        return str(error)
    except (openai.OpenAIError, grpc.RpcError, httpx.HTTPError, KeyError) as error:
        return f"{type(error).__name__}: {error}"


def _recorded(broker: RunningBroker) -> Records:
    """The log's records by call id, read with the command an auditor would use."""
    shown = _broker("audit", "show", str(broker.log), "--json", "--limit", "1000")
    records: Records = defaultdict(list)
    for line in shown.stdout.splitlines():
        record = json.loads(line)
        records[str(record["call_id"])].append(record)
    return records


def _show(step: Step, shown: Shown | str, records: Records) -> bool:
    left = [tuple(str(r["type"]) for r in records[i]) for i in getattr(shown, "call_ids", ())]
    good = isinstance(shown, Shown) and all(types == step.records for types in left)
    OUT.print(f"{'[green]✓[/]' if good else '[red]✗[/]'} [bold]{step.title}[/]")
    OUT.print(f"    {shown.said if isinstance(shown, Shown) else shown}", markup=False)
    for identifier in getattr(shown, "call_ids", ()):
        for record in records[identifier]:
            OUT.print(f"    [dim]recorded[/] {_line(record)}", style="cyan")
    return good


def _line(record: dict[str, object]) -> str:
    names = ("type", "operation", "user", "decision", "rule", "reason", "status", "tokens_in", "tokens_out")
    facts = [f"{name}={record[name]}" for name in names[1:] if name in record]
    return f"#{record['seq']} {record['type']}: {' '.join(facts)}"


def _verified(broker: RunningBroker) -> bool:
    checked = _broker("audit", "verify", str(broker.log))
    good = checked.returncode == 0
    OUT.print(f"{'[green]✓[/]' if good else '[red]✗[/]'} [bold]the log verifies[/]")
    for line in checked.stdout.strip().splitlines():
        OUT.print(f"    {line}", markup=False)
    return good


def _broker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "broker.cli.main", *arguments], capture_output=True, text=True, check=False
    )


if __name__ == "__main__":
    sys.exit(main())
