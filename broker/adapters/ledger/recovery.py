"""What a log directory says after any crash: the tree, the entries beyond it, and the calls that were cut.

Knows which damage a crash explains. Whatever it does not explain is refused, with a remedy, and nothing is
changed. Reads the right edge of the tree and one or two write-ahead segments, however long the log.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from broker.adapters.ledger.directory import LogDirectory
from broker.adapters.ledger.wal import Segment, Snapshot
from broker.model.record import Record, RecordType
from broker.model.units import US_PER_SECOND
from broker.tlog.checkpoint import Checkpoint, open_checkpoint
from broker.tlog.entry import Entry, parse_entry
from broker.tlog.frontier import Frontier
from broker.tlog.intents import OpenIntents
from broker.tlog.malformed import MalformedError
from broker.tlog.merkle import EMPTY_ROOT, hash_leaf
from broker.tlog.note import NoteKey
from broker.tlog.recordkey import RecordVerifier
from broker.tlog.remembered import Remembered
from broker.tlog.revoked import RevokedTokens, oldest_that_counts
from broker.tlog.tile import WIDTH, Tile, parse_path

_REVOKED = b'"type":"revoked"'  # quotes inside of a text are escaped: these are the field's own


@dataclass(frozen=True, slots=True)
class Recovered:
    """`frontier` is the checkpoint's tree, `beyond` the durable entries after it, `snapshot` the state after
    those, and `cut` the intents that have no outcome. `last_leaf` is the hash of the last entry.
    `unremembered` tells that nothing was known of a log that has entries: it may have been longer once.
    """

    frontier: Frontier
    beyond: tuple[bytes, ...]
    snapshot: Snapshot
    dangling: tuple[Entry, ...]
    last_leaf: bytes
    unremembered: bool


def recover(directory: LogDirectory, key: NoteKey, remembered: Remembered | None, now: int) -> Recovered:
    """Reads the log at the unix second `now`. Blocking. Raises MalformedError for what no crash can have
    left, for a log that does not continue what is `remembered` of it, and OSError.
    """
    # 1  the newest checkpoint, signed by us
    note = directory.checkpoint()
    head = open_checkpoint(note, key) if note is not None else Checkpoint(key.name, 0, EMPTY_ROOT)
    # 2  its tree, from the right edge
    frontier = Frontier.load(head.size, lambda tile: _edge(directory, tile))
    if frontier.root() != head.root:
        raise MalformedError("the tiles do not hash to the checkpoint's root")
    # 3  what the entries leave behind, from the write-ahead log, which must reach at least to the checkpoint
    replay = _replayed(directory, head.size, remembered, now)
    # 4  all that was ever acknowledged must be there
    if remembered is not None:
        _check_remembered(directory, replay, remembered)
    # 5  the intents that are still open
    dangling = tuple(_intent(directory, replay, call_id, seq) for call_id, seq in replay.intents.items())
    # 6  the revoked tokens that may live on
    revoked = replay.revoked.items(now)
    snapshot = Snapshot(replay.seq, replay.public_key, replay.intents.items(), revoked)
    unremembered = remembered is None and replay.seq > 0
    last_leaf = hash_leaf(_entry(directory, replay, replay.seq - 1)) if replay.seq else EMPTY_ROOT
    return Recovered(frontier, tuple(replay.beyond), snapshot, dangling, last_leaf, unremembered)


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
        self.revoked = RevokedTokens(snapshot.revoked or ())
        self.beyond: list[bytes] = []
        self.opened: dict[str, Entry] = {}
        self._covered = covered

    def take_all(self, entries: Iterable[bytes]) -> None:
        for data in entries:
            self._take(data)

    def _take(self, data: bytes) -> None:
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
        self.revoked.observe(record.type, record.token_id, entry.place.time_us // US_PER_SECOND)
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


def _replayed(directory: LogDirectory, size: int, remembered: Remembered | None, now: int) -> _Replay:
    """From one or two segments. A log that was closed needs none: where they are missing or torn it is read
    from its bundles, all of it, this once.
    """
    segments = directory.segments(size)
    if fault := _out_of_reach(directory, segments, size):
        if not _rests(directory, size, remembered):
            raise MalformedError(fault)
        replay = _Replay(Snapshot(), size)
        for seq in range(0, size, WIDTH):
            replay.take_all(directory.bundle(seq // WIDTH, size))
        return replay
    snapshot = segments[0].snapshot if segments else Snapshot()
    if snapshot.revoked is None:
        snapshot = replace(snapshot, revoked=_revoked_before(directory, snapshot.base, size, now))
    replay = _Replay(snapshot, size)
    for segment in segments:
        replay.take_all(segment.entries)
    return replay


def _revoked_before(directory: LogDirectory, base: int, size: int, now: int) -> tuple[tuple[str, int], ...]:
    """What a snapshot of an older version does not tell: the tokens revoked before `base`. Reads the log
    backwards, as far as a revocation can still count.
    """
    revoked = RevokedTokens()
    since = oldest_that_counts(now) * US_PER_SECOND
    for index in range(-(-base // WIDTH) - 1, -1, -1):
        bundle = directory.bundle(index, size)[: base - index * WIDTH]
        for entry in (parse_entry(data) for data in bundle if _REVOKED in data):
            revoked.observe(entry.record.type, entry.record.token_id, entry.place.time_us // US_PER_SECOND)
        if parse_entry(bundle[0]).place.time_us < since:
            break
    return revoked.items(now)


def _out_of_reach(directory: LogDirectory, segments: list[Segment], size: int) -> str:
    """Why these segments do not tell what comes after the checkpoint, or an empty string."""
    if not segments:
        return "the write-ahead log is missing" if size or any(True for _ in directory.paths()) else ""
    if segments[0].snapshot.base > size or segments[-1].end < size:
        return "the write-ahead log does not reach to the checkpoint"
    if size == 0 and any(_beyond(path, segments[-1].end) for path in directory.paths()):
        return "there are tiles of entries that the write-ahead log does not hold"
    return ""


def _rests(directory: LogDirectory, size: int, remembered: Remembered | None) -> bool:
    """Whether the checkpoint of `size` entries covers all that was ever acknowledged: it is remembered so,
    or, where nothing is remembered, the last entry closes the log.
    """
    if size == 0:
        return False
    last = _covered(directory, size - 1, size)
    if remembered is not None:
        return remembered.covered and (remembered.size, remembered.leaf) == (size, hash_leaf(last))
    return parse_entry(last).record.type is RecordType.CLOSE


def _check_remembered(directory: LogDirectory, replay: _Replay, remembered: Remembered) -> None:
    if replay.seq < remembered.size:
        raise MalformedError(
            f"it has {replay.seq} entries where {remembered.size} were acknowledged; "
            "it was removed, cut or rolled back"
        )
    if remembered.size == 0:
        return
    seq = remembered.size - 1
    if hash_leaf(_entry(directory, replay, seq)) != remembered.leaf:
        raise MalformedError(f"its entry {seq} is not the one that was acknowledged; it is another history")


def _entry(directory: LogDirectory, replay: _Replay, seq: int) -> bytes:
    covered = replay.seq - len(replay.beyond)
    return replay.beyond[seq - covered] if seq >= covered else _covered(directory, seq, covered)


def _covered(directory: LogDirectory, seq: int, size: int) -> bytes:
    """The entry `seq` of the `size` that the checkpoint covers."""
    return directory.bundle(seq // WIDTH, size)[seq % WIDTH]


def _beyond(path: str, size: int) -> bool:
    """Whether no log of `size` entries can have this tile."""
    tile = parse_path(path)
    return tile.width > tile.width_in(size)


def _intent(directory: LogDirectory, replay: _Replay, call_id: str, seq: int) -> Entry:
    """The intent's own entry: replayed, or from its bundle when it is older than the write-ahead log."""
    entry = replay.opened.get(call_id)
    if entry is None:
        entry = parse_entry(_covered(directory, seq, replay.seq - len(replay.beyond)))
    if entry.record.type is not RecordType.INTENT or entry.record.call_id != call_id:
        raise MalformedError("the write-ahead log names an open intent that is not in the log")
    return entry
