"""The file of objects and their owners: its tables, and what is done to them. Blocking.

Knows SQLite. Must not know threads, calls, or what a log is. Several processes may have it open: the broker,
and an operator's command, which leaves a wish that the broker records before it carries it out.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broker.model.stored import Adopted, Context, Gone, Keeping, Made, ObjectChange
from broker.model.units import SECONDS_PER_DAY

KEEP_SECONDS = 31 * SECONDS_PER_DAY
"""OpenAI keeps a response for 30 days; a day more, so that no owner is forgotten before its object."""
AT_ONCE = 1000
"""Rows that one step of pruning takes: whoever writes waits no longer than for these."""
_VERSION = 1
_WAIT_SECONDS = 5
_COLUMNS = "id text primary key, owner text not null, parent text, made integer not null, until integer, " + (
    "tokens integer, counted_for text, adopted integer not null default 0"
)
_SCHEMA = f"""
create table if not exists objects ({_COLUMNS}) without rowid;
create index if not exists objects_parent on objects (parent) where parent is not null;
create index if not exists objects_until on objects (until) where until is not null;
create index if not exists objects_owner on objects (owner, made);
create table if not exists wishes (number integer primary key autoincrement, id text not null, owner text,
  until integer, asked_by text not null);
create table if not exists logs (origin text primary key, seq integer not null);
pragma user_version = {_VERSION};
"""
_ADDED = (  # to the table of version 0, which knew no end
    "alter table objects add column until integer",
    "alter table objects add column tokens integer",
    "alter table objects add column counted_for text",
    "alter table objects add column adopted integer not null default 0",
    "update objects set until = made + 2678400 where id not like 'chatcmpl%' "  # 31 days
    "and coalesce(parent, '') not like 'chatcmpl%'",
)
_ROW = "id, owner, parent, made, until, tokens, counted_for, adopted"


@dataclass(frozen=True, slots=True)
class OwnerRow:
    """One object. `made` and `until` are unix seconds; without `until` it is kept until it is deleted."""

    id: str
    owner: str
    parent: str | None
    made: int
    until: int | None
    tokens: int | None
    counted_for: str | None
    adopted: bool


@dataclass(frozen=True, slots=True)
class Wish:
    """What an operator wants of one object: that it is `owner`'s, or, without one, nobody's."""

    number: int
    id: str
    owner: str | None
    until: int | None
    asked_by: str

    @property
    def change(self) -> Adopted | Gone:
        """What it does."""
        return Adopted(self.owner, (self.id,), self.until) if self.owner is not None else Gone(self.id)


class ObjectsFile:
    """One connection. Every method may raise sqlite3.Error; changes are durable when they return."""

    def __init__(self, path: Path, keep_seconds: int = KEEP_SECONDS) -> None:
        """Opens the file, making it, readable for its owner alone, where it is missing."""
        self._keep = keep_seconds
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        self._database = sqlite3.connect(path, timeout=_WAIT_SECONDS, check_same_thread=False)
        self._database.execute("pragma journal_mode = wal")
        self._database.execute("pragma synchronous = full")
        with self._exclusive() as database:
            if database.execute("pragma user_version").fetchone() != (_VERSION,):
                known = database.execute("select 1 from sqlite_master where name = 'objects'").fetchone()
                for statement in _ADDED if known else ():
                    database.execute(statement)
                for statement in _SCHEMA.split(";\n"):
                    database.execute(statement)

    def close(self) -> None:
        """Lets the file go."""
        self._database.close()

    def apply(self, changes: Iterable[tuple[ObjectChange, int]]) -> None:
        """Each change, made at a unix second, in one transaction."""
        with self._database:
            for change, second in changes:
                self._change(change, second)

    def holders(self, ids: Sequence[str]) -> list[tuple[str, str]]:
        """(id, owner) of those that are known."""
        marks = ",".join("?" * len(ids))
        return self._database.execute(
            f"select id, owner from objects where id in ({marks})",  # noqa: S608 - nothing but question marks
            tuple(ids),
        ).fetchall()

    def contexts(self, ids: Sequence[str]) -> list[Context | None]:
        """What is read of responses, or of items at most: as much as of the responses that they go with. One
        for each of these; None where it is not known.
        """
        marks = ",".join("?" * len(ids))
        found = self._database.execute(
            "select o.id, p.id, p.tokens, p.counted_for from objects o "  # noqa: S608 - nothing but question marks
            f"left join objects p on p.id = coalesce(o.parent, o.id) where o.id in ({marks})",
            tuple(ids),
        ).fetchall()
        known = {
            parent or each: Context(tokens, counted_for) if tokens is not None else None
            for each, parent, tokens, counted_for in found
        }
        return [*known.values(), *(None for _ in set(ids).difference(row[0] for row in found))]

    def measured(self, object_id: str, context: Context) -> None:
        """What is read of it is known now."""
        with self._database:
            self._database.execute(
                "update objects set tokens = ?, counted_for = ? where id = ?",
                (context.tokens, context.counted_for, object_id),
            )

    def rows(self, *, owner: str | None = None, limit: int = 1000) -> Iterator[OwnerRow]:
        """The newest objects, of one owner or of all."""
        where, values = ("where owner = ?", [owner]) if owner is not None else ("", [])
        found = self._database.execute(
            f"select {_ROW} from objects {where} order by made desc, id limit ?",  # noqa: S608 - own words
            (*values, limit),
        )
        return (_row(row) for row in found)

    def row(self, object_id: str) -> OwnerRow | None:
        """One object."""
        found = self._database.execute(f"select {_ROW} from objects where id = ?", (object_id,)).fetchone()  # noqa: S608
        return _row(found) if found is not None else None

    def parts(self, object_id: str) -> list[str]:
        """The ids of what goes with it."""
        found = self._database.execute("select id from objects where parent = ? order by id", (object_id,))
        return [each for (each,) in found]

    def count(self) -> int:
        """How many objects are known."""
        return int(self._database.execute("select count(*) from objects").fetchone()[0])

    def wish(self, object_id: str, owner: str | None, until: int | None, asked_by: str) -> int:
        """Leaves a wish for the broker; its number."""
        with self._database:
            found = self._database.execute(
                "insert into wishes (id, owner, until, asked_by) values (?, ?, ?, ?)",
                (object_id, owner, until, asked_by),
            )
        return int(found.lastrowid or 0)

    def wishes(self) -> list[Wish]:
        """Those that are not carried out yet, oldest first."""
        found = self._database.execute(
            "select number, id, owner, until, asked_by from wishes order by number"
        )
        return [Wish(*row) for row in found]

    def carry_out(self, wish: Wish, second: int) -> None:
        """Does what it says, and takes it off the list."""
        with self._database:
            self._change(wish.change, second)
            self._database.execute("delete from wishes where number = ?", (wish.number,))

    def position(self, origin: str) -> int:
        """All that the log of this origin tells before this entry is in the file."""
        found = self._database.execute("select seq from logs where origin = ?", (origin,)).fetchone()
        return int(found[0]) if found is not None else 0

    def reached(self, origin: str, seq: int) -> None:
        """See `position`."""
        with self._database:
            self._database.execute("insert or replace into logs values (?, ?)", (origin, seq))

    def expire(self, now: int) -> int:
        """Forgets a thousand objects at most that OpenAI keeps no longer. How many it forgot."""
        with self._database:
            return self._database.execute(
                "delete from objects where id in (select id from objects where until <= ? limit ?)",
                (now, AT_ONCE),
            ).rowcount

    def most(self) -> tuple[str, int]:
        """Who owns the most of what was not adopted, and how much; nobody, 0."""
        found = self._database.execute(
            "select owner, count(*) from objects where adopted = 0 group by owner order by 2 desc limit 1"
        ).fetchone()
        return (str(found[0]), int(found[1])) if found is not None else ("", 0)

    def evict(self, owner: str, many: int) -> int:
        """Forgets the oldest of an owner's, a thousand at most, and none that was adopted."""
        with self._database:
            return self._database.execute(
                "delete from objects where id in "
                "(select id from objects where owner = ? and adopted = 0 order by made limit ?)",
                (owner, min(many, AT_ONCE)),
            ).rowcount

    def _change(self, change: ObjectChange, second: int) -> None:
        if isinstance(change, Gone):
            self._database.execute("delete from objects where id = ? or parent = ?", (change.id, change.id))
        elif isinstance(change, Adopted):
            self._database.executemany(
                "insert into objects (id, owner, made, until, adopted) values (?, ?, ?, ?, 1) "
                "on conflict (id) do update set owner = excluded.owner, until = excluded.until, adopted = 1",
                [(each, change.owner, second, change.until) for each in change.ids],
            )
            self._database.executemany(
                "update objects set owner = ?, until = ?, adopted = 1 where parent = ?",
                [(change.owner, change.until, each) for each in change.ids],
            )
        else:
            self._database.executemany(
                "insert or ignore into objects (id, owner, parent, made, until, tokens, counted_for) "
                "values (?, ?, ?, ?, ?, ?, ?)",
                self._made(change, second),
            )

    def _made(self, made: Made, second: int) -> Iterator[tuple[object, ...]]:
        until = None if made.keeping is Keeping.UNTIL_DELETED else second + self._keep
        read = made.context
        for each in made.ids:
            own = made.parent is None or each == made.parent
            tokens, counted_for = (read.tokens, read.counted_for) if own and read else (None, None)
            yield each, made.owner, None if own else made.parent, second, until, tokens, counted_for

    @contextmanager
    def _exclusive(self) -> Iterator[sqlite3.Connection]:
        """One transaction that no other process is in at the same time."""
        self._database.execute("begin immediate")
        with self._database:
            yield self._database


def _row(found: tuple[Any, ...]) -> OwnerRow:
    object_id, owner, parent, made, until, tokens, counted_for, adopted = found
    return OwnerRow(object_id, owner, parent, made, until, tokens, counted_for, bool(adopted))
