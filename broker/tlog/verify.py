"""Verifies a whole log, offline, from nothing but its files and the log's public key.

Knows what must be true of a log and in which order to look. Must not know where the files are: it reads
through LogReader. Works on a log that is being written: files that appear meanwhile are explained by a newer
checkpoint or by the writer's own tail, or reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from broker.tlog.certified import Certified, CertifiedKeys, open_certified_checkpoint
from broker.tlog.chain import EntryChain
from broker.tlog.checkpoint import Checkpoint, open_checkpoint
from broker.tlog.frontier import Frontier, TileFile
from broker.tlog.malformed import MalformedError
from broker.tlog.merkle import EMPTY_ROOT, HASH_BYTES, hash_leaf
from broker.tlog.note import NoteKey
from broker.tlog.remembered import Remembered
from broker.tlog.report import Fault, Problems, Report
from broker.tlog.tile import ENTRIES, WIDTH, Tile, called_for, parse_bundle, parse_path

Progress = Callable[[int, int], None]
"""(entries checked, entries to check)."""

_CATCH_UP_ROUNDS = 10


class LogReader(Protocol):
    """The files of one log. Read-only; safe while a writer appends. May raise OSError."""

    def checkpoint(self) -> bytes | None:
        """The signed checkpoint; None when there is none yet."""

    def tile(self, tile: Tile) -> bytes | None:
        """The file at `tile.path`; None when there is none."""

    def paths(self) -> Iterable[str]:
        """The path of every file under `tile/`."""

    def tail(self, after: int) -> Sequence[tuple[int, bytes]]:
        """(seq, entry) of what the writer holds with seq ≥ `after`, in order, without gaps.

        Raises MalformedError when what the writer holds is damaged.
        """


def verify(
    reader: LogReader,
    key: NoteKey,
    *,
    since: Checkpoint | None = None,
    certified: Certified | None = None,
    remembered: Remembered | None = None,
    progress: Progress | None = None,
) -> Report:
    """Checks everything that can be checked; raises only what `reader` raises.

    `since` is an earlier checkpoint of this log, already opened with `key`: the log must be its continuation.
    With `certified`, every record key and `key` itself must be certified in the log, and the log must
    continue the checkpoint that the certifier signed; that was read before this is called. `remembered`, read
    before, too, is what the log's writer knows: the log must have all of it.
    """
    return _Verification(reader, key, certified, remembered, progress).run(since)


class _StopError(Exception):
    """Nothing after this point can be judged; the problem is recorded."""


class _Verification:
    def __init__(
        self,
        reader: LogReader,
        key: NoteKey,
        certified: Certified | None,
        remembered: Remembered | None,
        progress: Progress | None,
    ) -> None:
        self._reader = reader
        self._key = key
        self._progress = progress or (lambda _done, _total: None)
        self._problems = Problems()
        self._certified = certified
        self._remembered = remembered or Remembered(key.name)
        self._keys = CertifiedKeys(certified.certifier, key.name, self._problems) if certified else None
        self._certified_size = 0
        self._chain = EntryChain(self._problems, self._keys)
        self._frontier = Frontier()
        self._pins: dict[int, tuple[bytes, Fault]] = {}
        self._head = Checkpoint(key.name, 0, EMPTY_ROOT)
        self._unsigned: dict[tuple[int, int], bytes] = {}

    def run(self, since: Checkpoint | None) -> Report:
        try:
            # 1  the head, and the earlier head that it must continue
            self._open_head()
            if since is not None:
                self._pin(since, Fault.FORK)
            if self._certified is not None and self._certified.checkpoint is not None:
                self._pin_certified(self._certified, self._certified.checkpoint)
            # 2  files that this head does not call for; listed before anything newer can appear
            extras = [path for path in self._reader.paths() if not called_for(path, self._head.size)]
            # 3  every entry, bundle, tile and root up to the newest head, then what no checkpoint covers yet
            self._walk_tail(self._catch_up())
            self._check_remembered()
            if self._keys is not None:
                self._keys.check_checkpoint_key(self._key)
            # 4  the extras: superseded partial tiles, and tiles ahead of their checkpoint
            for path in extras:
                self._check_extra(path)
        except _StopError:
            pass
        return self._report()

    def _report(self) -> Report:
        uncovered = max(0, self._frontier.size - self._head.size)
        return Report(
            origin=self._head.origin,
            size=self._head.size,
            root=self._head.root,
            uncovered=uncovered,
            open_intents=self._chain.intents.items(),
            problems=self._problems.kept(),
            problem_count=self._problems.count,
            certified_size=self._certified_size if self._certified is not None else None,
        )

    def _stop(self, fault: Fault, where: str, text: str) -> _StopError:
        self._problems.add(fault, where, text)
        return _StopError()

    def _open_head(self) -> None:
        """Reads the checkpoint, which may only have grown."""
        note = self._reader.checkpoint()
        try:
            head = (
                open_checkpoint(note, self._key)
                if note is not None
                else Checkpoint(self._key.name, 0, EMPTY_ROOT)
            )
        except MalformedError as error:
            raise self._stop(Fault.CHECKPOINT, "checkpoint", str(error)) from error
        if head.size < self._head.size:
            raise self._stop(Fault.ROLLBACK, "checkpoint", "the log became shorter while it was read")
        self._head = head
        self._pin(head, Fault.ROOT)

    def _pin(self, checkpoint: Checkpoint, fault: Fault) -> None:
        """Remembers the root that the tree must have at this size."""
        if checkpoint.size > self._head.size:
            text = f"the log has {self._head.size} entries where an earlier checkpoint has {checkpoint.size}"
            raise self._stop(Fault.ROLLBACK, "checkpoint", text)
        root, _ = self._pins.setdefault(checkpoint.size, (checkpoint.root, fault))
        if root != checkpoint.root:
            raise self._stop(
                Fault.FORK, "checkpoint", f"two checkpoints of size {checkpoint.size} with other roots"
            )

    def _pin_certified(self, certified: Certified, note: bytes) -> None:
        try:
            checkpoint = open_certified_checkpoint(note, self._key, certified.certifier)
        except MalformedError as error:
            self._problems.add(Fault.UNCERTIFIED, "certified/checkpoint", str(error))
            return
        self._pin(checkpoint, Fault.FORK)
        self._certified_size = checkpoint.size

    def _catch_up(self) -> Sequence[tuple[int, bytes]]:
        """Walks to the newest head, until the writer's tail joins it; returns that tail."""
        tail: Sequence[tuple[int, bytes]] = ()
        for _ in range(_CATCH_UP_ROUNDS):
            self._walk()
            tail = self._tail()
            if not tail or tail[0][0] == self._head.size:
                return tail
            self._open_head()
        text = f"entries {self._frontier.size} to {tail[0][0] - 1} are in no bundle and not in the tail"
        raise self._stop(Fault.MISSING, "wal", text)

    def _tail(self) -> Sequence[tuple[int, bytes]]:
        try:
            return self._reader.tail(self._head.size)
        except MalformedError as error:
            raise self._stop(Fault.MALFORMED, "wal", str(error)) from error

    def _walk(self) -> None:
        """Takes the frontier to the head, one bundle after another."""
        self._check_pin()
        while (size := self._frontier.size) < self._head.size:
            tile = Tile(ENTRIES, size // WIDTH)
            width = tile.width_in(self._head.size)
            for entry in self._bundle(Tile(ENTRIES, tile.index, width))[size - tile.start :]:
                for file in self._append(entry):
                    self._check_tile(file)
                self._check_pin()
            self._progress(self._frontier.size, self._head.size)
        for file in self._frontier.partials():
            self._check_tile(file)

    def _append(self, entry: bytes) -> list[TileFile]:
        self._chain.check(self._frontier.size, entry)
        leaf = hash_leaf(entry)
        tiles = self._frontier.append(entry, leaf)
        if self._frontier.size == self._remembered.size and leaf != self._remembered.leaf:
            text = "it is not the entry that was acknowledged: the log is another history"
            self._problems.add(Fault.FORK, f"entry {self._frontier.size - 1}", text)
        return tiles

    def _check_remembered(self) -> None:
        """After the last entry: the log must be as long as its writer knows that it was."""
        if self._frontier.size < self._remembered.size:
            text = (
                f"the log has {self._frontier.size} entries where {self._remembered.size} were acknowledged"
            )
            self._problems.add(Fault.ROLLBACK, "log", text)

    def _bundle(self, tile: Tile) -> list[bytes]:
        try:
            content = self._reader.tile(tile)
            if content is not None:
                return parse_bundle(content, tile.width)
            # A partial bundle may be gone once its full one exists (tlog-tiles, "Partial Tiles").
            content = self._reader.tile(tile.full())
            if content is not None:
                return parse_bundle(content, WIDTH)[: tile.width]
        except MalformedError as error:
            raise self._stop(Fault.MALFORMED, tile.path, str(error)) from error
        raise self._stop(Fault.MISSING, tile.path, "the file is missing")

    def _check_pin(self) -> None:
        root, fault = self._pins.get(self._frontier.size, (None, Fault.ROOT))
        if root is not None and root != self._frontier.root():
            text = f"the first {self._frontier.size} entries do not hash to the checkpoint's root"
            self._problems.add(fault, "checkpoint", text)

    def _check_tile(self, file: TileFile) -> None:
        """The stored tile must be the one that the entries make."""
        content = self._reader.tile(file.tile)
        if (
            content is None
            and file.tile.width < WIDTH
            and (full := self._reader.tile(file.tile.full())) is not None
        ):
            content = full[: len(file.content)]
        if content is None:
            self._problems.add(Fault.MISSING, file.tile.path, "the file is missing")
        elif content != file.content:
            self._problems.add(Fault.TILE, file.tile.path, _difference(file, content))

    def _walk_tail(self, tail: Sequence[tuple[int, bytes]]) -> None:
        """Checks what the writer holds beyond the head, and keeps the tiles that it explains."""
        for _, entry in tail:
            for file in self._append(entry):
                self._unsigned[file.tile.level, file.tile.index] = file.content
        for file in self._frontier.partials():
            self._unsigned[file.tile.level, file.tile.index] = file.content

    def _check_extra(self, path: str) -> None:
        """An extra file must be the beginning of a tile that was verified, or that the tail explains."""
        try:
            tile = parse_path(path)
        except MalformedError as error:
            self._problems.add(Fault.EXTRA, path, str(error))
            return
        content = self._reader.tile(tile)
        if content is None:  # superseded meanwhile
            return
        whole = self._unsigned.get((tile.level, tile.index))
        if whole is None and (width := tile.width_in(self._head.size)):
            whole = self._reader.tile(Tile(tile.level, tile.index, width))
        if whole is None or _beginning(whole, tile) != content:
            self._problems.add(Fault.EXTRA, path, "its content does not belong to this log")


def _beginning(whole: bytes, tile: Tile) -> bytes | None:
    """The first `tile.width` items of a wider tile or bundle; None when it is not as wide."""
    if tile.level != ENTRIES:
        return whole[: tile.width * HASH_BYTES]
    end = 0
    for _ in range(tile.width):
        end += 2 + int.from_bytes(whole[end : end + 2], "big")
    return whole[:end]


def _difference(file: TileFile, content: bytes) -> str:
    """Names the first entry that is not the one the tile was made from."""
    if file.tile.level == ENTRIES:
        return "the bundle differs from its entries"
    if file.tile.level > 0 or len(content) != len(file.content):
        return "the tile differs from what the entries hash to"
    offset = next(
        i
        for i in range(0, len(content), HASH_BYTES)
        if content[i : i + HASH_BYTES] != file.content[i : i + HASH_BYTES]
    )
    return f"entry {file.tile.start + offset // HASH_BYTES} does not hash to the leaf in this tile"
