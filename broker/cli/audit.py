"""`broker audit verify` and `broker audit show`: reads a log directory, live or a copy; needs no key and no
lock.

Knows terminals, exit codes and remedies. Must not know how a log is verified or written.
Exit codes: 0 fine, 1 the log is bad, 2 incomplete (open intents, or a tail no checkpoint covers yet), 3 could
not run.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from broker.cli.auditlog import Directory, LogKey, could_not_run, fail, log_key, open_log
from broker.cli.auditproof import prove, verify_proof
from broker.cli.exitcodes import ExitCode
from broker.cli.terminal import printable
from broker.model.record import RecordType
from broker.tlog.certified import Certified
from broker.tlog.certifier import TrustedCertifier, parse_certifier
from broker.tlog.checkpoint import Checkpoint, open_checkpoint
from broker.tlog.entry import Entry, parse_entry
from broker.tlog.malformed import MalformedError
from broker.tlog.note import NoteKey
from broker.tlog.remembered import Remembered, parse_remembered
from broker.tlog.report import Report, Verdict
from broker.tlog.timestamp import format_time
from broker.tlog.verify import verify as verify_log

app = typer.Typer(help="Verify and read the log.", no_args_is_help=True)
app.command()(prove)
app.command()(verify_proof)

_EXIT = {
    Verdict.GOOD: ExitCode.FINE,
    Verdict.BAD: ExitCode.BAD,
    Verdict.INCOMPLETE: ExitCode.INCOMPLETE,
}
_FILE_WIDTH = 280  # columns of a table that goes to a file or another program: nothing is cut

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document (verify) or JSON lines (show).")]


@app.command()
def verify(
    directory: Directory,
    vkey: LogKey = None,
    since_checkpoint: Annotated[
        Path | None, typer.Option(help="A checkpoint you kept: finds rollback and forks.")
    ] = None,
    certified_by: Annotated[
        Path | None,
        typer.Option(
            help="The public keys of the Vault Transit key that certifies: PEM, or the JSON of `vault read`."
        ),
    ] = None,
    remembered: Annotated[
        Path | None,
        typer.Option(
            help="What the writer remembers: the file remembered-… in the folder of the log's keys."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Recompute every hash and check every signature, sequence number and intent of the log in DIR."""
    log = open_log(directory)
    key = log_key(vkey, log)
    since = _kept_checkpoint(since_checkpoint, key)
    certifier = _certifier(certified_by)
    known = _remembered(remembered, key)
    with _progress(shown=not as_json) as progress:
        task = progress.add_task("entries", total=None)
        try:
            report = verify_log(
                log,
                key,
                since=since,
                certified=Certified(certifier, log.certified_checkpoint()) if certifier else None,
                remembered=known,
                progress=lambda done, total: progress.update(task, completed=done, total=total),
            )
        except OSError as error:
            could_not_run(
                f"The log cannot be read: {error.strerror}.", "Check the path and your permissions."
            )
    if as_json:
        sys.stdout.write(json.dumps(_report_document(report)) + "\n")
    else:
        _print_report(report, own_key=vkey is None and certifier is None)
    raise typer.Exit(_EXIT[report.verdict])


@app.command()
def show(
    directory: Directory,
    call_id: Annotated[str | None, typer.Option(help="Only this call.")] = None,
    record_type: Annotated[RecordType | None, typer.Option("--type", help="Only this record type.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only this subject.")] = None,
    user: Annotated[str | None, typer.Option(help="Only this user.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many records, from the oldest on.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Print records, oldest first, also those that no checkpoint covers yet. Verifies nothing: see
    `verify`.
    """
    wanted = {"call_id": call_id, "type": record_type, "subject": subject, "user": user}
    conditions = {name: value for name, value in wanted.items() if value is not None}
    found = (
        (data, entry)
        for data, entry in ((data, parse_entry(data)) for _, data in open_log(directory).entries())
        if all(getattr(entry.record, name) == value for name, value in conditions.items())
    )
    try:
        if as_json:
            for data, _ in islice(found, limit):
                sys.stdout.write(data.decode() + "\n")
        else:
            _print_entries(entry for _, entry in islice(found, limit))
    except MalformedError as error:
        fail(f"The log is damaged: {error}.", "Run `broker audit verify` on it.", ExitCode.BAD)
    except BrokenPipeError:
        _end_quietly()
    except OSError as error:
        could_not_run(f"The log cannot be read: {error.strerror}.", "Check the path and your permissions.")


def _kept_checkpoint(path: Path | None, key: NoteKey) -> Checkpoint | None:
    if path is None:
        return None
    try:
        return open_checkpoint(path.read_bytes(), key)
    except MalformedError as error:
        could_not_run(
            f"The earlier checkpoint is not usable: {error}.",
            "Give a checkpoint file of this very log, unchanged, and the vkey it was signed with.",
        )
    except OSError:
        could_not_run(
            "The earlier checkpoint cannot be read.", "Check the path given with --since-checkpoint."
        )


def _remembered(path: Path | None, key: NoteKey) -> Remembered | None:
    if path is None:
        return None
    try:
        return parse_remembered(path.read_bytes(), key.name)
    except MalformedError as error:
        could_not_run(
            f"What is remembered is not usable: {error}.",
            "Give the file remembered-… of this very log, from the folder of its keys.",
        )
    except OSError:
        could_not_run("What is remembered cannot be read.", "Check the path given with --remembered.")


def _certifier(path: Path | None) -> TrustedCertifier | None:
    if path is None:
        return None
    try:
        return parse_certifier(path.read_bytes())
    except MalformedError as error:
        could_not_run(
            f"The certifier's public keys are not usable: {error}.",
            "Give PEM public keys (Ed25519), or what `vault read -format=json transit/keys/broker` prints.",
        )
    except OSError:
        could_not_run(
            "The certifier's public keys cannot be read.", "Check the path given with --certified-by."
        )


def _progress(*, shown: bool) -> Progress:
    columns = (TextColumn("verifying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not (shown and console.is_terminal))


def _report_document(report: Report) -> dict[str, object]:
    return {
        "verdict": report.verdict,
        "origin": report.origin,
        "size": report.size,
        "root": report.root.hex(),
        "uncovered": report.uncovered,
        "certified_size": report.certified_size,
        "open_intents": [{"call_id": call_id, "seq": seq} for call_id, seq in report.open_intents],
        "problem_count": report.problem_count,
        "problems": [asdict(problem) | {"remedy": problem.fault.remedy} for problem in report.problems],
    }


def _print_report(report: Report, *, own_key: bool) -> None:
    console = Console(highlight=False, soft_wrap=True)
    style = {Verdict.GOOD: "green", Verdict.BAD: "bold red", Verdict.INCOMPLETE: "yellow"}[report.verdict]
    console.print(Text(f"{report.verdict}: {printable(report.origin)}, {report.size} entries", style))
    console.print(Text(f"root {report.root.hex()}"))
    if own_key:
        console.print("Note: the key came from the log's own directory; give one you trust with --vkey.")
    if report.certified_size is not None:
        console.print(_certified_text(report.certified_size))
    for problem in report.problems:
        console.print(Text(f"{printable(problem.where)}: {problem.text}", "red"))
    for fault in dict.fromkeys(problem.fault for problem in report.problems):
        console.print(Text(f"{fault}: {fault.remedy}"))
    if report.problem_count > len(report.problems):
        console.print(f"… and {report.problem_count - len(report.problems)} more problems")
    if report.uncovered:
        console.print(
            f"{report.uncovered} more entries are not covered by a checkpoint yet: verify again in a second."
        )
    for call_id, seq in report.open_intents:
        console.print(Text(f"entry {seq}: the call {printable(call_id)} has no outcome yet"))
    if report.open_intents:
        console.print("Open calls are in flight, or were cut: the next start of the broker closes those.")


def _certified_text(size: int) -> str:
    if size:
        return f"The certifier signed the checkpoint of the first {size} entries."
    return "The certifier signed no checkpoint: it was away, or the file `certified/checkpoint` was removed."


def _print_entries(entries: Iterator[Entry]) -> None:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _FILE_WIDTH)
    table = Table(
        "seq", "time", "type", "call", "subject", "user", "operation", "model", "decision", "status"
    )
    for column in table.columns:
        column.overflow = "fold"
    for entry in entries:
        record = entry.record
        row = (
            entry.place.seq,
            format_time(entry.place.time_us),
            record.type.value,
            record.call_id,
            record.subject,
            record.user,
            record.operation,
            record.model_served or record.model_requested,
            record.decision or record.reason,
            record.status,
        )
        table.add_row(*(Text("" if cell is None else printable(str(cell))) for cell in row))
    console.print(table)


def _end_quietly() -> None:
    """The reader has enough (`| head`): nothing went wrong, and what is still buffered goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
