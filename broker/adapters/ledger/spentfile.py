"""What is taken of limits, on disk: a projection of one log that anybody may delete. Blocking.

Knows one SQLite file. Must not know who fills it, or what an entry says. All that the first `size` entries of
the log tell is in it, and nothing else; `leaf` is the hash of the last of these: a file of another log, or of
one that was rolled back, is told by it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import orjson

from broker.model.charge import UNITS, Taken, Window

_VERSION = 1
_WAIT_SECONDS = 1.0
_MODE = 0o600
_TABLES = """
CREATE TABLE place (size INTEGER NOT NULL, leaf BLOB NOT NULL);
CREATE TABLE windows (name TEXT NOT NULL, unit TEXT NOT NULL, seconds INTEGER NOT NULL, ends INTEGER NOT NULL,
  taken INTEGER NOT NULL, PRIMARY KEY (name, unit, seconds, ends)) WITHOUT ROWID;
CREATE INDEX windows_ends ON windows (ends);
CREATE TABLE reservations (call_id TEXT PRIMARY KEY, taken BLOB NOT NULL) WITHOUT ROWID;
INSERT INTO place VALUES (0, x'');
"""

Reservations = Iterable[tuple[str, tuple[Taken, ...]]]
"""(call id, what it took)."""


class FilePosition(NamedTuple):
    """How far a file goes."""

    size: int
    leaf: bytes


class SpentFile:
    """One connection, for one thread at a time. Every method may raise sqlite3.Error."""

    def __init__(self, path: Path) -> None:
        """Opens the file, or begins one that only its owner may read. Raises OSError, too."""
        path.touch(mode=_MODE)
        self._database = sqlite3.connect(path, timeout=_WAIT_SECONDS, check_same_thread=False)
        try:
            self._prepare()
        except sqlite3.Error:
            self._database.close()
            raise

    def close(self) -> None:
        """Lets the file go."""
        self._database.close()

    def place(self) -> FilePosition:
        """How far it goes."""
        return FilePosition(*self._database.execute("SELECT size, leaf FROM place").fetchone())

    def reservations(self) -> Reservations:
        """What the calls have taken that were under way at this place."""
        rows = self._database.execute("SELECT call_id, taken FROM reservations").fetchall()
        return [(call_id, _parsed(taken)) for call_id, taken in rows]

    def windows(self, now: int) -> Iterator[Taken]:
        """What is taken of the windows that have not ended at the unix second `now`."""
        rows = self._database.execute(
            "SELECT name, unit, seconds, ends - seconds, taken FROM windows WHERE ends > ?", (now,)
        )
        return (Taken(name, UNITS[unit], *numbers) for name, unit, *numbers in rows)

    def apply(
        self, changes: Mapping[Window, int], opened: Reservations, closed: Iterable[str], place: FilePosition
    ) -> None:
        """What the entries up to `place` change, as a whole or not at all."""
        with self._database:
            self._database.executemany(
                "INSERT INTO windows VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET taken = taken + excluded.taken",
                [(name, unit.value, sec, start + sec, n) for (name, unit, sec, start), n in changes.items()],
            )
            self._database.executemany(
                "DELETE FROM reservations WHERE call_id = ?", [(call_id,) for call_id in closed]
            )
            self._database.executemany(
                "INSERT OR REPLACE INTO reservations VALUES (?, ?)",
                [(call_id, orjson.dumps([list(each) for each in taken])) for call_id, taken in opened],
            )
            self._database.execute("UPDATE place SET size = ?, leaf = ?", place)

    def forget(self, now: int) -> None:
        """Removes the windows that ended at the unix second `now` or before."""
        with self._database:
            self._database.execute("DELETE FROM windows WHERE ends <= ?", (now,))

    def _prepare(self) -> None:
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        if self._database.execute("PRAGMA user_version").fetchone() != (_VERSION,):
            self._database.executescript(f"BEGIN; {_TABLES} PRAGMA user_version={_VERSION}; COMMIT;")
        [found] = self._database.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError("the file is damaged")


def _parsed(taken: bytes) -> tuple[Taken, ...]:
    return tuple(Taken(limit, UNITS[unit], *numbers) for limit, unit, *numbers in orjson.loads(taken))
