"""The file of what is taken of limits, brought to where its log is.

Knows entries, and how far the file goes. Must not know when to look, caps, or who asks. Blocking.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from broker.adapters.ledger.directory import LogDirectory
from broker.adapters.ledger.spentfile import FilePosition, SpentFile
from broker.budget.limits import FORGIVEN_SECONDS
from broker.model.charge import Taken, Window
from broker.tlog.malformed import MalformedError
from broker.tlog.merkle import hash_leaf
from broker.tlog.spent import OpenReservations, tells, told
from broker.tlog.tile import WIDTH

_AT_ONCE = 16 * WIDTH  # entries in one transaction
_SLICE = 32


class Spending:
    """Of one log. Every method may raise sqlite3.Error, OSError, and MalformedError for a damaged log. What
    it has read of the log counts only with the file: after an error only `close` is left.
    """

    def __init__(self, directory: LogDirectory, path: Path) -> None:
        """Raises MalformedError where the file is of another log, too."""
        self._directory = directory
        self._file = SpentFile(path)
        try:
            self._place = self._checked(self._file.place())
            self._open = OpenReservations(self._file.reservations())
        except BaseException:
            self._file.close()
            raise
        self._stored = {call_id for call_id, _ in self._open.items()}

    @property
    def size(self) -> int:
        """How many entries the file knows of."""
        return self._place.size

    def catch_up(self, rest: Callable[[float], bool]) -> None:
        """Takes what a checkpoint covers by now. `rest` gets how many seconds each step took, and says
        whether to go on.
        """
        size, going = self._directory.covered_size(), True
        while self.size < size and going:
            began, entries = time.monotonic(), list[bytes]()
            while len(entries) < _AT_ONCE and self.size + len(entries) < size:
                entries += self._entries(self.size + len(entries), size)
            self._take(entries)
            going = rest(time.monotonic() - began)

    def windows(self) -> Iterator[Taken]:
        """What is taken of the windows that can still count."""
        return self._file.windows(_long_ago())

    def forget(self) -> None:
        """Removes what no clock can come back to."""
        self._file.forget(_long_ago())

    def close(self) -> None:
        """Lets the file go."""
        self._file.close()

    def _checked(self, place: FilePosition) -> FilePosition:
        size = self._directory.covered_size()
        if place.size > size:
            raise MalformedError("a file of a longer log")
        if place.size and hash_leaf(self._entries(place.size - 1, size)[0]) != place.leaf:
            raise MalformedError("a file of another log")
        return place

    def _entries(self, seq: int, size: int) -> list[bytes]:
        """From `seq` to the end of its bundle, in a log of `size` entries."""
        return self._directory.bundle(seq // WIDTH, size)[seq % WIDTH :]

    def _take(self, entries: list[bytes]) -> None:
        """The next entries of the log."""
        place = FilePosition(self.size + len(entries), hash_leaf(entries[-1]))
        changes = self._changes(entries)
        under_way = dict(self._open.items())
        opened = [(call_id, taken) for call_id, taken in under_way.items() if call_id not in self._stored]
        self._file.apply(changes, opened, self._stored - under_way.keys(), place)
        self._place, self._stored = place, set(under_way)

    def _changes(self, entries: Iterable[bytes]) -> Counter[Window]:
        """By how much they change the windows that can still count."""
        changes: Counter[Window] = Counter()
        ended = _long_ago()
        for number, entry in enumerate(entries):
            if number % _SLICE == 0:
                time.sleep(0)  # hands over the interpreter: whoever writes the log goes first
            if tells(entry):
                for each in self._open.observe(told(entry)):
                    if each.start + each.seconds > ended:
                        changes[each[:4]] += each.amount
        return changes


def _long_ago() -> int:
    return int(time.time()) - FORGIVEN_SECONDS
