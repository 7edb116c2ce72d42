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

from broker.adapters.ledger.directory import LogDirectory
from tests.demo.steps import Shown, Step, UnexpectedError, steps
from tests.running import PROGRAM, RunningBroker, start_broker

OUT = Console(highlight=False, soft_wrap=True)
Records = dict[str, list[dict[str, object]]]


def main() -> int:
    """The whole demo; the number of failed steps decides the exit code."""
    with tempfile.TemporaryDirectory(prefix="broker-demo-") as folder:
        OUT.print("[bold]broker demo[/]  one process, everything embedded, a simulated OpenAI behind it\n")
        broker = start_broker(Path(folder) / "broker", program=PROGRAM)
        try:
            good = [_show(step, _take(step, broker), _recorded(broker)) for step in steps()]
        finally:
            broker.stop()
        good.append(_verified(broker))
    OUT.print(f"demo: {sum(good)} passed, {len(good) - sum(good)} failed")
    return 0 if all(good) else 1


def _take(step: Step, broker: RunningBroker) -> Shown | str:
    """What the step showed, or in a string how it failed."""
    try:
        return step.act(broker)
    except UnexpectedError as error:
        return str(error)
    except (openai.OpenAIError, grpc.RpcError, httpx.HTTPError, KeyError) as error:
        return f"{type(error).__name__}: {error}"


def _recorded(broker: RunningBroker) -> Records:
    """The log's records by call id, as they lie on the disk at this moment."""
    records: Records = defaultdict(list)
    for _, entry in LogDirectory(broker.log).tail(-1):
        record = json.loads(entry)
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
    command = [sys.executable, "-m", "broker.cli.main", "audit", "verify", str(broker.log)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    good = checked.returncode == 0
    OUT.print(f"{'[green]✓[/]' if good else '[red]✗[/]'} [bold]the log verifies[/]")
    for line in checked.stdout.strip().splitlines():
        OUT.print(f"    {line}", markup=False)
    return good


if __name__ == "__main__":
    sys.exit(main())
