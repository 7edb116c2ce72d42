"""What every command of `broker audit` begins with: the log's directory and its public key.

Knows options and remedies. Must not know what is done with a log.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from broker.adapters.ledger.directory import LogDirectory
from broker.cli.exitcodes import ExitCode
from broker.tlog.malformed import MalformedError
from broker.tlog.note import NoteKey

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="The log directory, live or a copy.")]
_VKEY = typer.Option("--vkey", help="The log's public key: a file, or the vkey itself.")
LogKey = Annotated[str | None, _VKEY]
TrustedKey = Annotated[str, _VKEY]


def open_log(directory: Path) -> LogDirectory:
    """The log in the directory; ends the command where there is none."""
    if not any((directory / name).exists() for name in ("checkpoint", "wal", "tile")):
        could_not_run(
            "There is no log in this directory.",
            "Give the directory that holds `checkpoint` and `tile`; `logs` in dev.json names it.",
        )
    return LogDirectory(directory)


def log_key(vkey: str | None, log: LogDirectory | None = None) -> NoteKey:
    """The key from the option (a file or the text itself), else from the log's directory."""
    try:
        is_file = vkey is not None and "+" not in vkey
        own = log.vkey() if log is not None and vkey is None else None
        text = own if vkey is None else Path(vkey).read_text("utf-8").strip() if is_file else vkey
        if text is None:
            could_not_run("The directory has no log.vkey.", "Give the log's public key with --vkey.")
        return NoteKey.parse(text)
    except MalformedError as error:
        could_not_run(f"The log's public key is {error}.", "Give a file, or text like `name+1a2b3c4d+AbC…`.")
    except (OSError, UnicodeDecodeError):
        could_not_run(
            "The file with the log's public key cannot be read.", "Check the path given with --vkey."
        )


def could_not_run(what: str, remedy: str) -> NoReturn:
    """Ends the command with 3."""
    fail(what, remedy, ExitCode.COULD_NOT_RUN)


def fail(what: str, remedy: str, code: ExitCode) -> NoReturn:
    """Ends the command, having said on standard error why, and what to try."""
    sys.stderr.write(f"{what} {remedy}\n")
    raise typer.Exit(code)
