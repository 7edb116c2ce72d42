"""Which bundles of a log hold a call, on disk: a projection of the log that anybody may delete.

Knows one SQLite file. Must not know who fills it, or what an entry says. It covers whole bundles only, which
never change, from the first one on; whoever asks looks through the others itself. `anchor` is the hash of the
newest bundle covered: an index of another log, or of one that was rolled back, is told by it.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from broker.adapters.ledger import projection

INDEX = "index/calls.sqlite"
_VERSION = 1
_WAIT_SECONDS = 1.0
_TABLES = """
CREATE TABLE covered (bundles INTEGER NOT NULL, anchor BLOB NOT NULL);
CREATE TABLE calls (key INTEGER NOT NULL, bundle INTEGER NOT NULL, PRIMARY KEY (key, bundle)) WITHOUT ROWID;
INSERT INTO covered VALUES (0, x'');
"""


@dataclass(frozen=True, slots=True)
class Covered:
    """The index tells of the first `bundles` bundles; `anchor` is the hash of the last of these."""

    bundles: int
    anchor: bytes


class CallIndex:
    """The file, to be filled by one thread. Every method may raise sqlite3.Error."""

    def __init__(self, root: Path) -> None:
        """Opens the index of the log at `root`, or begins one. Raises OSError, too."""
        path = root / INDEX
        path.parent.mkdir(mode=0o750, exist_ok=True)
        self._database = sqlite3.connect(path, timeout=_WAIT_SECONDS, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        if self._database.execute("PRAGMA user_version").fetchone() != (_VERSION,):
            self._database.executescript(f"BEGIN; {_TABLES} PRAGMA user_version={_VERSION}; COMMIT;")

    def covered(self) -> Covered:
        """How far it goes."""
        return Covered(*self._database.execute("SELECT bundles, anchor FROM covered").fetchone())

    def add(self, first: int, bundles: Sequence[Iterable[bytes]], anchor: bytes) -> None:
        """The next bundles, from `first` on, each by the call ids in it: all of them or none. `anchor` is the
        last one's.
        """
        keys = [{key_of(call_id) for call_id in set(call_ids)} for call_ids in bundles]
        rows = [(key, bundle) for bundle, held in enumerate(keys, first) for key in held]
        # what a transaction costs, and pages that rows of several bundles share, is paid once
        with self._database:
            self._database.executemany("INSERT OR IGNORE INTO calls VALUES (?, ?)", sorted(rows))
            self._database.execute("UPDATE covered SET bundles = ?, anchor = ?", (first + len(keys), anchor))

    def close(self) -> None:
        """Lets the file go."""
        self._database.close()


def remove(root: Path) -> None:
    """Removes the index of the log at `root`: it is made anew. Raises OSError."""
    projection.remove(root / INDEX)


def bundles_of(root: Path, call_id: str) -> tuple[list[int], int]:
    """The bundles that may hold the call, ascending, and how many bundles the answer tells of: none where
    there is no usable index. Blocking; takes less than a millisecond.
    """
    try:
        with closing(
            sqlite3.connect(f"{(root / INDEX).as_uri()}?mode=ro", uri=True, timeout=_WAIT_SECONDS)
        ) as index:
            index.execute("BEGIN")  # both answers are of one moment
            [covered] = index.execute("SELECT bundles FROM covered").fetchone()
            rows = index.execute("SELECT bundle FROM calls WHERE key = ?", (key_of(call_id.encode()),))
            return sorted(bundle for (bundle,) in rows if bundle < covered), int(covered)
    except (sqlite3.Error, TypeError, ValueError):
        return [], 0


def key_of(call_id: bytes) -> int:
    """64 bits of the call id's hash: calls that share it only cost a look into a bundle."""
    return int.from_bytes(hashlib.sha256(call_id).digest()[:8], "big", signed=True)


def anchor_of(bundle: bytes) -> bytes:
    """The hash of a bundle's bytes."""
    return hashlib.sha256(bundle).digest()
