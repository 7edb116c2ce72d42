"""`broker keys`: import, rotate and list the upstream's keys.

Knows: where a key may come from: standard input or a file, never the command line or the environment.
Must not know: how it is sealed.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from getpass import getpass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from broker.adapters.keystore import KeyVersion, SealedStore
from broker.errors import BrokerError

app = typer.Typer(no_args_is_help=True)
_COULD_NOT_RUN = 3
_MAX_BYTES = 8192
_KEY_LIKE = 32  # no credential needs a name this long, and no key is shorter
DEFAULT_KEYSTORE = Path(".broker/keys")

Name = Annotated[str, typer.Argument(help="The credential's name, as policy names it, e.g. openai.")]
File = Annotated[Path | None, typer.Option("--file", help="The file that holds the key; absent: stdin.")]
Keystore = Annotated[Path, typer.Option("--keystore", help="The keystore's directory.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Rest = Annotated[list[str] | None, typer.Argument(hidden=True)]


@app.command("import")
def import_key(
    name: Name,
    rest: Rest = None,
    file: File = None,
    keystore: Keystore = DEFAULT_KEYSTORE,
    as_json: Json = False,
) -> None:
    """Seals a key, read from standard input or a file; one that exists gets a further version."""
    _refuse_typed_key(name, rest)
    _put(name, file, keystore, as_json)


@app.command()
def rotate(
    name: Name,
    rest: Rest = None,
    file: File = None,
    keystore: Keystore = DEFAULT_KEYSTORE,
    as_json: Json = False,
) -> None:
    """Seals the next version of a key that exists; calls that begin a second later use it."""
    _refuse_typed_key(name, rest)
    try:
        SealedStore(keystore).versions(name)
    except BrokerError as error:
        raise _stopped(error) from None
    _put(name, file, keystore, as_json)


@app.command("list")
def list_keys(keystore: Keystore = DEFAULT_KEYSTORE, as_json: Json = False) -> None:
    """Shows names and versions, never a key."""
    store = SealedStore(keystore)
    try:
        versions = [each for name in store.names() for each in store.versions(name)]
    except BrokerError as error:
        raise _stopped(error) from None
    if as_json:
        typer.echo(json.dumps([_shown(each) for each in versions]))
        return
    table = Table("name", "version", "kind", "created")
    for each in versions:
        table.add_row(each.name, str(each.version), each.kind, f"{_created(each):%Y-%m-%d %H:%M:%S} UTC")
    Console().print(table)


def _put(name: str, file: Path | None, keystore: Path, as_json: bool) -> None:
    try:
        version = SealedStore(keystore).put(name, _read_key(file))
    except (BrokerError, OSError) as error:
        raise _stopped(error) from None
    if as_json:
        typer.echo(json.dumps(_shown(version)))
    else:
        typer.echo(f"sealed {version.name} version {version.version} in {keystore}")


def _read_key(file: Path | None) -> str:
    """The key without the line end that an editor or `echo` leaves."""
    if file is not None:
        with file.open("rb") as source:
            raw = source.read(_MAX_BYTES + 1)
    elif sys.stdin.isatty():
        return getpass("The key (it is not shown): ").strip()
    else:
        raw = sys.stdin.buffer.read(_MAX_BYTES + 1)
    return raw.decode("ascii", errors="replace").strip("\r\n")


def _refuse_typed_key(name: str, rest: list[str] | None) -> None:
    """A key on the command line is already in the shell's history and the process list."""
    if rest or len(name) > _KEY_LIKE or name.startswith("sk-"):
        typer.echo(
            "broker: a key is never an argument: others can read command lines. Revoke it if it was "
            "a real one. Try: broker keys import openai --file FILE, or give it on standard input.",
            err=True,
        )
        raise typer.Exit(_COULD_NOT_RUN)


def _shown(version: KeyVersion) -> dict[str, object]:
    return {
        "name": version.name,
        "version": version.version,
        "kind": version.kind,
        "created": f"{_created(version):%Y-%m-%dT%H:%M:%SZ}",
    }


def _created(version: KeyVersion) -> datetime:
    return datetime.fromtimestamp(version.created, UTC)


def _stopped(error: Exception) -> typer.Exit:
    typer.echo(f"broker: {error}", err=True)
    return typer.Exit(_COULD_NOT_RUN)
