"""`broker objects`: whose the responses, chats and other things are that OpenAI keeps.

Knows the file of owners, and terminals. Must not know how calls use it. What changes an owner is left as a
wish: the broker that runs, or else the next start, records it in the log and then carries it out, so that the
file can always be made anew from the log.
"""

from __future__ import annotations

import getpass
import json
import re
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from broker.adapters.ledger.directory import LogDirectory
from broker.adapters.objects import NAME, ObjectsFile, OwnerRow, RetentionBounds, replay
from broker.app.objects import bounds, place
from broker.cli.exitcodes import ExitCode
from broker.cli.options import Json, grouped
from broker.cli.terminal import escaped, plain
from broker.config import load
from broker.model.units import SECONDS_PER_DAY
from broker.tlog.malformed import MalformedError

app = typer.Typer(no_args_is_help=True, help="Whose the objects are that OpenAI keeps.")
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}\Z")
_FILE_WIDTH = 240  # columns of a table that goes to a file or another program: nothing is cut
_WAIT_SECONDS = 3.0
_LOOK_SECONDS = 0.1
_DEV = Path(".broker")

Ids = Annotated[list[str], typer.Argument(metavar="ID…", help="Ids as OpenAI gave them: resp_…, conv_….")]
Id = Annotated[str, typer.Argument(metavar="ID", help="The id as OpenAI gave it: resp_…, conv_….")]


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerOptions:
    """Which broker's objects are meant."""

    config: Annotated[Path | None, typer.Option("--config", help="The broker's configuration.")] = None
    directory: Annotated[
        Path, typer.Option("--dir", help="Without --config: the folder of a `broker dev`.")
    ] = _DEV


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerOptions:
    """Whose objects are meant."""

    subject: Annotated[str | None, typer.Option(help="Whose: a SPIFFE ID.")] = None
    user: Annotated[
        str | None, typer.Option(help="A user of that subject, where its role's objects belong to users.")
    ] = None
    owner: Annotated[
        str | None,
        typer.Option(help="Instead of --subject: an owner as records name it (object_owner), a team."),
    ] = None


@dataclass(frozen=True, slots=True)
class _ObjectPaths:
    file: Path
    log: Path
    origin: str | None
    bounds: RetentionBounds


@app.command("list")
@grouped
def list_objects(
    *,
    whose: OwnerOptions,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 100,
    chosen: BrokerOptions,
    as_json: Json = False,
) -> None:
    """Lists objects that OpenAI keeps, and who owns them; wishes that no broker has carried out yet, too."""
    owner = _owner(whose)
    with _opened(_places(chosen)) as file:
        rows, wishes = list(file.rows(owner=owner, limit=limit)), file.wishes()
    if as_json:
        waiting = [asdict(wish) for wish in wishes]
        typer.echo(json.dumps({"objects": [_shown(row) for row in rows], "wishes": waiting}))
        return
    _print(rows)
    for wish in wishes:
        what = f"shall belong to {plain(wish.owner)}" if wish.owner else "shall be forgotten"
        typer.echo(f"{wish.id} {what}: the broker that starts next does it")


@app.command()
@grouped
def show(*, object_id: Id, chosen: BrokerOptions, as_json: Json = False) -> None:
    """Shows one object, and what goes with it. Exit 1 where it is nobody's."""
    with _opened(_places(chosen)) as file:
        row, parts = file.row(object_id), file.parts(object_id)
    if row is None:
        _fail(
            f"{plain(object_id)} is nobody's: for callers it does not exist.",
            "`broker objects adopt` gives it to somebody; `broker objects rebuild` reads the log again.",
            ExitCode.BAD,
        )
    if as_json:
        typer.echo(json.dumps(_shown(row) | {"parts": parts}))
        return
    for name, value in _shown(row).items():
        typer.echo(f"{name}: {plain(str(value))}")
    typer.echo(f"parts: {' '.join(parts)}")


@app.command()
@grouped
def adopt(
    *,
    ids: Ids,
    whose: OwnerOptions,
    days: Annotated[
        int | None, typer.Option(min=1, max=3650, help="For so long; absent: until it is forgotten.")
    ] = None,
    chosen: BrokerOptions,
    as_json: Json = False,
) -> None:
    """Gives objects to an owner: what was made before the broker came, by another key, or by somebody else.

    It is recorded before it counts, with your user name. What goes with an object goes along.
    """
    owner = _owner(whose)
    if owner is None:
        _fail("Whose the objects shall be is missing.", "Give --subject, or --owner.", ExitCode.COULD_NOT_RUN)
    until = int(time.time()) + days * SECONDS_PER_DAY if days is not None else None
    _wish(ids, owner, until, _places(chosen), as_json)


@app.command()
@grouped
def forget(*, ids: Ids, chosen: BrokerOptions, as_json: Json = False) -> None:
    """Makes objects nobody's: callers that name them are answered 404. OpenAI goes on keeping them."""
    _wish(ids, None, None, _places(chosen), as_json)


@app.command()
@grouped
def rebuild(*, chosen: BrokerOptions, as_json: Json = False) -> None:
    """Reads the whole log again, and adds what the file of owners does not have. It may run beside a broker.

    A start does it by itself where the file is missing or older than the log.
    """
    places = _places(chosen)
    with _opened(places, make=True) as file:
        before = file.count()
        try:
            told = replay(file, LogDirectory(places.log), places.origin, int(time.time()))
        except MalformedError as error:
            _fail(f"The log is damaged: {error}.", "Run `broker audit verify` on it.", ExitCode.BAD)
        known = file.count()
    if as_json:
        typer.echo(json.dumps({"records": told, "objects": known, "added": known - before}))
    else:
        typer.echo(
            f"{told} records tell of objects; {known} objects are known, {known - before} more than before"
        )


def _wish(ids: list[str], owner: str | None, until: int | None, places: _ObjectPaths, as_json: bool) -> None:
    for each in ids:
        if not _ID.match(each):
            _fail(f"{plain(each)} is no id of OpenAI's.", "Give it as OpenAI does.", ExitCode.COULD_NOT_RUN)
    with _opened(places, make=True) as file:
        wished = {file.wish(each, owner, until, getpass.getuser()) for each in ids}
        ends = time.monotonic() + _WAIT_SECONDS
        while (waits := bool(wished & {wish.number for wish in file.wishes()})) and time.monotonic() < ends:
            time.sleep(_LOOK_SECONDS)
    if as_json:
        typer.echo(json.dumps({"ids": ids, "owner": owner, "until": until, "done": not waits}))
        return
    what = f"belong to {owner}" if owner is not None else "are forgotten"
    typer.echo(
        f"no broker runs: once one has started, these {what}: {' '.join(ids)}"
        if waits
        else f"recorded, and done: these {what}: {' '.join(ids)}"
    )


def _places(chosen: BrokerOptions) -> _ObjectPaths:
    if chosen.config is not None:
        settings = load(chosen.config)
        audit = settings.audit
        return _ObjectPaths(place(settings), audit.directory, audit.origin, bounds(settings))
    return _ObjectPaths(
        chosen.directory / "keys" / "log" / NAME, chosen.directory / "log", None, RetentionBounds()
    )


@contextmanager
def _opened(places: _ObjectPaths, *, make: bool = False) -> Iterator[ObjectsFile]:
    """`make`: it is made where it is missing, unless its folder is, too."""
    if not (places.file.parent if make else places.file).exists():
        _fail(
            f"There is no {places.file}.",
            "Give --config, or --dir; a broker that has run makes it, or `broker objects rebuild`.",
            ExitCode.COULD_NOT_RUN,
        )
    try:
        with closing(ObjectsFile(places.file, places.bounds.keep_seconds)) as file:
            yield file
    except sqlite3.Error as error:
        _fail(
            f"{places.file} cannot be read or written: {error}.",
            "A damaged one you may move away: the next start of the broker makes it anew from the log.",
            ExitCode.COULD_NOT_RUN,
        )


def _owner(whose: OwnerOptions) -> str | None:
    subject, user, owner = whose.subject, whose.user, whose.owner
    if owner is not None and subject is not None:
        _fail("--owner and --subject both say whose.", "Give one of them.", ExitCode.COULD_NOT_RUN)
    if subject is not None and not subject.startswith("spiffe://"):
        _fail("--subject is no SPIFFE ID.", "Give it as in policy: spiffe://…", ExitCode.COULD_NOT_RUN)
    if user is not None and subject is None:
        _fail("--user is a user of a subject.", "Give --subject, too.", ExitCode.COULD_NOT_RUN)
    return owner or (f"{subject} user {user}" if user else subject)


def _print(rows: list[OwnerRow]) -> None:
    table = Table("id", "owner", "goes with", "made", "kept until", "tokens")
    for column in table.columns:
        column.overflow = "fold"
    for row in rows:
        shown = _shown(row)
        cells = (row.id, row.owner, row.parent or "", str(shown["made"]), str(shown["until"] or "deleted"))
        table.add_row(*map(escaped, cells), str(row.tokens or ""))
    Console(highlight=False, width=None if sys.stdout.isatty() else _FILE_WIDTH).print(table)


def _shown(row: OwnerRow) -> dict[str, object]:
    return {
        "id": row.id,
        "owner": row.owner,
        "parent": row.parent,
        "made": _time(row.made),
        "until": _time(row.until) if row.until is not None else None,
        "tokens": row.tokens,
        "adopted": row.adopted,
    }


def _time(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _fail(what: str, remedy: str, code: ExitCode) -> NoReturn:
    typer.echo(f"broker: {what} {remedy}", err=True)
    raise typer.Exit(code)
