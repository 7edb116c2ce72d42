"""Records, and a whole log in memory that attacks can be tried on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import get_type_hints

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import strategies as st

from broker.model.charge import Taken, Unit
from broker.model.record import Record, RecordedFinding, RecordType
from broker.tlog.checkpoint import Checkpoint, sign_checkpoint
from broker.tlog.entry import EntryPlace, draft
from broker.tlog.frontier import Frontier
from broker.tlog.merkle import hash_leaf
from broker.tlog.note import NoteSigner
from broker.tlog.recordkey import RecordSigner
from broker.tlog.report import Fault, Report
from broker.tlog.tile import Tile
from broker.tlog.verify import verify

texts = st.text(st.characters(codec="utf-8"), max_size=20)
numbers = st.integers(0, 2**53 - 1)
findings = st.lists(st.builds(RecordedFinding, texts, texts, texts), max_size=3).map(tuple)
taken = st.builds(Taken, texts, st.sampled_from(Unit), numbers, numbers, st.integers(-(2**53) + 1, 2**53 - 1))
_of_type: dict[object, st.SearchStrategy[object]] = {
    RecordType: st.sampled_from(RecordType),
    str: texts,
    str | None: st.none() | texts,
    int | None: st.none() | numbers,
    bool | None: st.none() | st.booleans(),
    tuple[str, ...] | None: st.none() | st.lists(texts, max_size=3).map(tuple),
    tuple[RecordedFinding, ...] | None: st.none() | findings,
    tuple[Taken, ...] | None: st.none() | st.lists(taken, max_size=3).map(tuple),
}
records = st.builds(Record, **{name: _of_type[kind] for name, kind in get_type_hints(Record).items()})
places = st.builds(EntryPlace, texts, numbers, st.integers(0, 2**48))


def signer(seed: int) -> RecordSigner:
    """A record key of its own for every seed."""
    return RecordSigner(Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))


def seal(record: Record, at: EntryPlace, by: RecordSigner) -> bytes:
    """The signed entry of `record` at this place. Raises MalformedError."""
    return draft(record, at.instance, at.time_us, by.kid).sign(at.seq, by)


def note_signer(seed: int = 100, name: str = "log.example/test") -> NoteSigner:
    """A log key of its own for every seed."""
    return NoteSigner(name, Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))


def calls(count: int) -> list[Record]:
    """`count` finished calls, as a log has them after its first two records."""
    records = [Record(RecordType.START, call_id="i")]
    for number in range(count):
        records.append(Record(RecordType.INTENT, call_id=f"c{number}", user="alice"))
        records.append(Record(RecordType.OUTCOME, call_id=f"c{number}", user="alice", status=200))
    return records


class MemoryLog:
    """A log whose files are a dict: `files[path]`, `files["checkpoint"]`; `held` is what the writer's WAL
    holds.
    """

    def __init__(self, key: RecordSigner | None = None) -> None:
        self.files: dict[str, bytes] = {}
        self.held: list[tuple[int, bytes]] = []
        self.entries: list[bytes] = []
        self._signer = key or signer(1)
        self._note_signer = note_signer()

    @classmethod
    def of(cls, records: Sequence[Record]) -> MemoryLog:
        """A published log: its key record, then `records`."""
        log = cls()
        log.add(Record(RecordType.KEY, call_id="i", public_key=log._signer.public_key))
        for record in records:
            log.add(record)
        log.publish()
        return log

    def add(self, record: Record, by: RecordSigner | None = None, seq: int | None = None) -> None:
        """Signs and appends."""
        at = EntryPlace("i", len(self.entries) if seq is None else seq, 1_700_000_000_000_000)
        self.entries.append(seal(record, at, by or self._signer))

    def publish(self) -> None:
        """Writes the tiles and the checkpoint of what `entries` holds now, as an honest writer would."""
        self.write_tiles()
        self.sign()

    def write_tiles(self) -> None:
        """Only the tiles and bundles."""
        frontier = self.frontier()
        self.files |= {file.tile.path: file.content for file in frontier.partials()}

    def frontier(self) -> Frontier:
        """The tree over `entries`; its full tiles are written on the way."""
        frontier = Frontier()
        for entry in self.entries:
            self.files |= {file.tile.path: file.content for file in frontier.append(entry, hash_leaf(entry))}
        return frontier

    def sign(self, by: NoteSigner | None = None) -> None:
        """Only the checkpoint."""
        frontier = self.frontier()
        head = Checkpoint("log.example/test", frontier.size, frontier.root())
        self.files["checkpoint"] = sign_checkpoint(head, by or self._note_signer)

    def checkpoint(self) -> bytes | None:
        return self.files.get("checkpoint")

    def tile(self, tile: Tile) -> bytes | None:
        return self.files.get(tile.path)

    def paths(self) -> Iterator[str]:
        return (path for path in self.files if path.startswith("tile/"))

    def tail(self, after: int) -> Sequence[tuple[int, bytes]]:
        return [(seq, entry) for seq, entry in self.held if seq >= after]


def verified(log: MemoryLog, since: Checkpoint | None = None) -> Report:
    """What the verifier says of it."""
    return verify(log, note_signer().key, since=since)


def faults(log: MemoryLog, since: Checkpoint | None = None) -> set[Fault]:
    """The kinds of problems the verifier finds."""
    return {problem.fault for problem in verified(log, since).problems}
