"""`broker keys`: import, list, rotate, quarantine and release the upstream's keys, in whichever store.

Knows: where a key may come from: standard input or a file, never the command line or the environment.
Must not know: how it is stored.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from getpass import getpass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from broker.cli.exitcodes import ExitCode
from broker.cli.keystores import OperatorOptions, StoreOptions, opened
from broker.cli.options import Json, grouped
from broker.cli.terminal import escaped
from broker.errors import BrokerError, ConfigError
from broker.model.credential import KeyState, KeyVersion
from broker.ports import KeyStore

app = typer.Typer(no_args_is_help=True, help="Import, list, rotate and quarantine the upstream keys.")
_MAX_BYTES = 8192
_KEY_LIKE = 32  # no credential needs a name this long, and no key is shorter
_STYLES = {KeyState.CURRENT: "green", KeyState.QUARANTINED: "red", KeyState.DELETED: "red"}

Name = Annotated[str, typer.Argument(help="The credential's name, as policy names it, e.g. openai.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; `broker keys list` shows it.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenKey:
    """A key for a credential: from a file or standard input. What else is typed may be the key itself."""

    name: Name
    rest: Annotated[list[str] | None, typer.Argument(hidden=True)] = None
    file: Annotated[
        Path | None, typer.Option("--file", help="The file that holds the key; absent: stdin.")
    ] = None

    def refuse_typed_key(self) -> None:
        """Raises typer.Exit where a key was typed: it is in the shell's history now."""
        _refuse_typed_key(self.name, self.rest)

    def read(self) -> str:
        """The key without the line end that an editor or `echo` leaves."""
        if self.file is not None:
            with self.file.open("rb") as source:
                raw = source.read(_MAX_BYTES + 1)
        elif sys.stdin.isatty():
            return getpass("The key (it is not shown): ").strip()
        else:
            raw = sys.stdin.buffer.read(_MAX_BYTES + 1)
        return raw.decode("ascii", errors="replace").strip("\r\n")


@app.command("import")
@grouped
def import_key(
    *,
    given: GivenKey,
    chosen: StoreOptions,
    asking: OperatorOptions,
    as_json: Json = False,
) -> None:
    """Stores a key, read from standard input or a file; one that exists gets a further version."""
    given.refuse_typed_key()
    with _store(chosen, asking) as (store, place):
        _say(store.put(given.name, given.read()), "stored", place, as_json)


@app.command()
@grouped
def rotate(
    *,
    given: GivenKey,
    chosen: StoreOptions,
    asking: OperatorOptions,
    as_json: Json = False,
) -> None:
    """Stores the next version of a key that exists; calls that begin a second later use it."""
    given.refuse_typed_key()
    with _store(chosen, asking) as (store, place):
        store.versions(given.name)
        _say(store.put(given.name, given.read()), "stored", place, as_json)


@app.command("list")
@grouped
def list_keys(
    *,
    chosen: StoreOptions,
    asking: OperatorOptions,
    as_json: Json = False,
) -> None:
    """Shows names, versions and what became of them; never a key."""
    with _store(chosen, asking) as (store, _):
        versions = [each for name in store.names() for each in store.versions(name)]
    if as_json:
        typer.echo(json.dumps([_shown(each) for each in versions]))
        return
    table = Table("name", "version", "kind", "state", "created", "reason")
    for each in versions:
        state = f"[{_STYLES[each.state]}]{each.state}[/]" if each.state in _STYLES else each.state
        created = f"{_created(each):%Y-%m-%d %H:%M:%S} UTC"
        table.add_row(each.name, str(each.version), each.kind, state, created, escaped(each.reason))
    Console().print(table)


@app.command()
@grouped
def quarantine(
    *,
    name: Name,
    reason: Reason,
    chosen: StoreOptions,
    asking: OperatorOptions,
    as_json: Json = False,
) -> None:
    """Takes a key out of use: no call starts with it a second later. A rotation or `release` ends it."""
    _refuse_typed_key(name, None)
    with _store(chosen, asking) as (store, place):
        _say(store.quarantine(name, reason), "quarantined", place, as_json)


@app.command()
@grouped
def release(
    *,
    name: Name,
    chosen: StoreOptions,
    asking: OperatorOptions,
    as_json: Json = False,
) -> None:
    """Ends a quarantine; calls that begin two seconds later may use the key again."""
    _refuse_typed_key(name, None)
    with _store(chosen, asking) as (store, place):
        _say(store.release(name), "released", place, as_json)


@contextmanager
def _store(chosen: StoreOptions, asking: OperatorOptions) -> Iterator[tuple[KeyStore, str]]:
    try:
        with opened(chosen, asking) as found:
            yield found
    except (BrokerError, ConfigError, OSError) as error:
        typer.echo(f"broker: {error}", err=True)
        raise typer.Exit(ExitCode.COULD_NOT_RUN) from None


def _say(version: KeyVersion, done: str, place: str, as_json: bool) -> None:
    text = f"{done} {version.name} version {version.version} in {place}"
    typer.echo(json.dumps(_shown(version)) if as_json else text)


def _refuse_typed_key(name: str, rest: list[str] | None) -> None:
    """A key on the command line is already in the shell's history and the process list."""
    if rest or len(name) > _KEY_LIKE or name.startswith("sk-"):
        typer.echo(
            "broker: a key is never an argument: others can read command lines. Revoke it if it was "
            "a real one. Try: broker keys import openai --file FILE, or give it on standard input.",
            err=True,
        )
        raise typer.Exit(ExitCode.COULD_NOT_RUN)


def _shown(version: KeyVersion) -> dict[str, object]:
    shown: dict[str, object] = {
        "name": version.name,
        "version": version.version,
        "kind": version.kind,
        "state": version.state.value,
        "created": f"{_created(version):%Y-%m-%dT%H:%M:%SZ}",
    }
    return shown | ({"reason": version.reason} if version.reason else {})


def _created(version: KeyVersion) -> datetime:
    return datetime.fromtimestamp(version.created, UTC)
