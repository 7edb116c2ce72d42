"""That one entry is in the log, as a text that needs nothing else: C2SP tlog-proof@v1.

Knows its lines. Must not know tiles, files or what an entry says. The optional `extra` line holds the entry
itself: it is believed only once its hash is proven.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from broker.tlog import base64s
from broker.tlog.checkpoint import Checkpoint, open_checkpoint
from broker.tlog.malformed import MalformedError
from broker.tlog.merkle import NodeHash, hash_leaf, inclusion_proof, verify_inclusion
from broker.tlog.note import NoteKey

HEADER = "c2sp.org/tlog-proof@v1"
MAX_PROOF_BYTES = 1024 * 1024
_HEAD = re.compile(
    rf"{re.escape(HEADER)}\nextra (?P<entry>[A-Za-z0-9+/=]+)\nindex (?P<index>0|[1-9][0-9]{{0,18}})\n"
    r"(?P<hashes>(?:[A-Za-z0-9+/=]+\n){0,63})\n"
)


@dataclass(frozen=True, slots=True)
class LogProof:
    """Entry number `index`, and the hashes beside its way to the root of `checkpoint`, a signed note.
    `parse_proof(p.encode()) == p`.
    """

    index: int
    entry: bytes = field(repr=False)
    hashes: tuple[bytes, ...] = field(repr=False)
    checkpoint: bytes = field(repr=False)

    def encode(self) -> bytes:
        """The text, as a file `….tlog-proof` holds it."""
        lines = (HEADER, f"extra {base64s.to_std(self.entry)}", f"index {self.index}")
        return "\n".join((*lines, *map(base64s.to_std, self.hashes), "", "")).encode() + self.checkpoint

    def verified(self, key: NoteKey) -> Checkpoint:
        """The checkpoint that `key` signed, whose log holds the entry. Raises MalformedError where it does
        not.
        """
        checkpoint = open_checkpoint(self.checkpoint, key)
        verify_inclusion(hash_leaf(self.entry), self.index, checkpoint.size, self.hashes, checkpoint.root)
        return checkpoint


def prove(index: int, entry: bytes, checkpoint: bytes, size: int, node: NodeHash) -> LogProof:
    """The proof for an entry of the tree of `size` entries that `checkpoint` signs. Raises MalformedError,
    also for an entry outside it.
    """
    return LogProof(index, entry, tuple(inclusion_proof(index, size, node)), checkpoint)


def parse_proof(data: bytes) -> LogProof:
    """The proof whose text is exactly `data`. Raises MalformedError. Verifies nothing."""
    if len(data) > MAX_PROOF_BYTES:
        raise MalformedError(f"a proof of more than {MAX_PROOF_BYTES} bytes")
    head = _HEAD.match(data.decode("utf-8", "replace"))
    if head is None:
        raise MalformedError("no proof of the form c2sp.org/tlog-proof@v1 with its entry")
    hashes = tuple(base64s.from_std(line) for line in head["hashes"].split())
    checkpoint = data[head.end() :]  # all before it is ASCII
    return LogProof(int(head["index"]), base64s.from_std(head["entry"]), hashes, checkpoint)
