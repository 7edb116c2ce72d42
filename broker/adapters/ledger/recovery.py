"""What a log directory says after any crash: the tree, the entries beyond it, and the calls that were cut.

Knows which damage a crash explains. Whatever it does not explain is refused, with a remedy, and nothing is
changed. Reads the right edge of the tree and one or two write-ahead segments, however long the log.
"""

from __future__ import annotations

from dataclasses import dataclass

from broker.adapters.ledger.directory import LogDirectory
from broker.adapters.ledger.wal import Segment, Snapshot
from broker.model.record import Record, RecordType
from broker.tlog.checkpoint import Checkpoint, open_checkpoint
from broker.tlog.entry import Entry, parse_entry
from broker.tlog.frontier import Frontier
from broker.tlog.intents import OpenIntents
from broker.tlog.malformed import MalformedError
from broker.tlog.merkle import EMPTY_ROOT
from broker.tlog.note import NoteKey
from broker.tlog.recordkey import RecordVerifier
from broker.tlog.tile import WIDTH, Tile, parse_path


@dataclass(frozen=True, slots=True)
class Recovered:
    """`frontier` is the checkpoint's tree, `beyond` the durable entries after it, `snapshot` the state after
    those, and `cut` the intents that have no outcome.
    """

    frontier: Frontier
    beyond: tuple[bytes, ...]
    snapshot: Snapshot
    cut: tuple[Entry, ...]


def recover(directory: LogDirectory, key: NoteKey) -> Recovered:
    """Reads the log. Blocking. Raises MalformedError for what no crash can have left, and OSError."""
    # 1  the newest checkpoint, signed by us
    note = directory.checkpoint()
    head = open_checkpoint(note, key) if note is not None else Checkpoint(key.name, 0, EMPTY_ROOT)
    # 2  its tree, from the right edge
    frontier = Frontier.load(head.size, lambda tile: _edge(directory, tile))
    if frontier.root() != head.root:
        raise MalformedError("the tiles do not hash to the checkpoint's root")
    # 3  the write-ahead log, which must reach at least to the checkpoint
    segments = directory.segments(head.size)
    _check_reach(directory, segments, head.size)
    # 4  what the entries since its snapshot leave behind
    replay = _Replay(segments[0].snapshot if segments else Snapshot(), head.size)
    for segment in segments:
        for data in segment.entries:
            replay.take(data)
    # 5  the intents that are still open
    cut = tuple(_intent(directory, replay, call_id, seq) for call_id, seq in replay.intents.items())
    snapshot = Snapshot(replay.seq, replay.public_key, replay.intents.items())
    return Recovered(frontier, tuple(replay.beyond), snapshot, cut)


def closing_record(intent: Record) -> Record:
    """Closes the call of `intent`, with its user and subject, so that a search for them finds it."""
    return Record(
        RecordType.RECOVERED,
        call_id=intent.call_id,
        user=intent.user,
        subject=intent.subject,
        actor_chain=intent.actor_chain,
        tenant=intent.tenant,
        cert_sha256=intent.cert_sha256,
        token_id=intent.token_id,
        transport=intent.transport,
        operation=intent.operation,
        model_requested=intent.model_requested,
        stream=intent.stream,
        reason="the process ended before an outcome was recorded; upstream may have acted",
    )


class _Replay:
    """Takes the write-ahead log's entries in order. Entries beyond the checkpoint must be signed: they are
    about to be covered by a checkpoint of ours.
    """

    def __init__(self, snapshot: Snapshot, covered: int) -> None:
        self.seq = snapshot.base
        self.public_key = snapshot.public_key
        self.intents = OpenIntents(snapshot.open_intents)
        self.beyond: list[bytes] = []
        self.opened: dict[str, Entry] = {}
        self._covered = covered

    def take(self, data: bytes) -> None:
        entry = parse_entry(data)
        record = entry.record
        if entry.place.seq != self.seq:
            raise MalformedError("a write-ahead entry in another place than it says")
        if record.type is RecordType.KEY:
            self.public_key = record.public_key
        if self.seq >= self._covered:
            self._check_signature(entry)
            self.beyond.append(data)
        if record.type is RecordType.INTENT:
            self.opened[record.call_id] = entry
        self.intents.observe(record.type, record.call_id, self.seq)
        self.seq += 1

    def _check_signature(self, entry: Entry) -> None:
        verifier = RecordVerifier.parse(self.public_key or "")
        if verifier.kid != entry.kid or not verifier.verifies(entry.sig, entry.unsigned()):
            raise MalformedError("a write-ahead entry that the record key did not sign")


def _edge(directory: LogDirectory, tile: Tile) -> bytes:
    content = directory.tile(tile)
    if content is None:
        raise MalformedError(f"{tile.path} is missing")
    return content


def _check_reach(directory: LogDirectory, segments: list[Segment], size: int) -> None:
    if not segments:
        if size or any(True for _ in directory.paths()):
            raise MalformedError("the write-ahead log is missing")
    elif segments[0].snapshot.base > size or segments[-1].end < size:
        raise MalformedError("the write-ahead log does not reach to the checkpoint")
    elif size == 0 and any(_beyond(path, segments[-1].end) for path in directory.paths()):
        raise MalformedError("there are tiles of entries that the write-ahead log does not hold")


def _beyond(path: str, size: int) -> bool:
    """Whether no log of `size` entries can have this tile."""
    tile = parse_path(path)
    return tile.width > tile.width_in(size)


def _intent(directory: LogDirectory, replay: _Replay, call_id: str, seq: int) -> Entry:
    """The intent's own entry: replayed, or from its bundle when it is older than the write-ahead log."""
    entry = replay.opened.get(call_id)
    if entry is None:
        entry = parse_entry(directory.bundle(seq // WIDTH, replay.seq - len(replay.beyond))[seq % WIDTH])
    if entry.record.type is not RecordType.INTENT or entry.record.call_id != call_id:
        raise MalformedError("the write-ahead log names an open intent that is not in the log")
    return entry
