"""Reads a log that is being written, for whoever asks this process: bundle by bundle, in a thread.

Knows the index, bundles and the write-ahead log. Must not know who asks, or what an entry says. Threads share
the interpreter with the event loop: each step looks for bytes in one file, and never parses what is not asked
for.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from broker.adapters.ledger.callindex import bundles_of
from broker.adapters.ledger.directory import LogDirectory
from broker.tlog.malformed import MalformedError
from broker.tlog.search import ALL, CALL_ID, Search
from broker.tlog.tile import WIDTH, parse_entries

_ATTEMPTS = 5
_BUNDLES = 64


@dataclass(frozen=True, slots=True)
class Page:
    """Some (seq, entry), oldest first, and the seq to go on from."""

    entries: list[tuple[int, bytes]]
    next: int


class LiveLog:
    """The durable entries of a directory. Blocking; raises OSError, and MalformedError for a damaged log."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._directory = LogDirectory(root)

    def entry(self, seq: int) -> bytes:
        """The entry `seq`, which is durable."""
        [(_, entry)] = self.page(seq, seq + 1, ALL).entries
        return entry

    def of_call(self, call_id: str, end: int) -> list[tuple[int, bytes]]:
        """The entries of one call, of the first `end`."""
        search = Search({CALL_ID: (call_id,)})
        bundles, indexed = bundles_of(self._root, call_id)
        found: list[tuple[int, bytes]] = []
        for bundle in bundles:
            found += self.page(bundle * WIDTH, min(end, (bundle + 1) * WIDTH), search).entries
        seq = indexed * WIDTH
        while seq < end:
            page = self.page(seq, end, search)
            found += page.entries
            seq = page.next
        return found

    def page(self, seq: int, end: int, search: Search) -> Page:
        """What `search` finds from `seq` on and before `end`: of the next bundle that has any, or of the next
        64 bundles.
        """
        for _ in range(_ATTEMPTS):
            covered = self._directory.covered_size()
            try:
                if seq < min(end, covered):
                    return self._covered(seq, min(end, covered), covered, search)
                return self._recent(seq, end, search)
            except MalformedError:  # the writer integrated it meanwhile: look again
                continue
        raise MalformedError("entries that are in no bundle and not in the write-ahead log")

    def _covered(self, seq: int, end: int, size: int, search: Search) -> Page:
        for _ in range(_BUNDLES):
            index = seq // WIDTH
            data, following = self._directory.bundle_bytes(index, size), min((index + 1) * WIDTH, end)
            if search.finds(data):
                return Page(_found(parse_entries(data), seq, following, search), following)
            seq = following
            if seq == end:
                break
        return Page([], seq)

    def _recent(self, seq: int, end: int, search: Search) -> Page:
        """Of what no checkpoint covers yet."""
        recent = self._directory.recent(seq)
        if not recent or recent[0][0] != seq:
            raise MalformedError("the write-ahead log does not join the entry bundles")
        return Page([pair for pair in recent if pair[0] < end and search.finds(pair[1])], end)


def _found(bundle: list[bytes], seq: int, end: int, search: Search) -> list[tuple[int, bytes]]:
    """`bundle` is the one that holds `seq`."""
    first = seq - seq % WIDTH
    return [(at, bundle[at - first]) for at in range(seq, end) if search.finds(bundle[at - first])]
