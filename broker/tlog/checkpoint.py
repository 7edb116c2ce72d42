"""Checkpoints (C2SP tlog-checkpoint): origin, tree size and root hash as a signed note.

Knows the three lines; must not know trees, files or who signs. Extension lines are refused: ours never has
any, and the specification calls them not auditable.
"""

from __future__ import annotations

from dataclasses import dataclass

from broker.tlog import base64s
from broker.tlog.malformed import MalformedError
from broker.tlog.merkle import HASH_BYTES
from broker.tlog.note import NoteKey, NoteSigner, open_note

_LINES = 4  # origin, size, root and the empty text after the last newline
MAX_SIZE = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head. `str()` is the note text; `parse_checkpoint(str(c)) == c`."""

    origin: str
    size: int
    root: bytes

    def __str__(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64s.to_std(self.root)}\n"


def parse_checkpoint(text: str) -> Checkpoint:
    """Reads exactly what `str(Checkpoint)` writes. Raises MalformedError."""
    lines = text.split("\n")
    if len(lines) != _LINES or lines[3] or not lines[0]:
        raise MalformedError("a checkpoint that does not have exactly three lines")
    size = (
        int(lines[1])
        if lines[1].isascii() and lines[1].isdigit() and len(lines[1]) < len(str(10 * MAX_SIZE))
        else -1
    )
    checkpoint = Checkpoint(lines[0], size, base64s.from_std(lines[2]))
    if size > MAX_SIZE or len(checkpoint.root) != HASH_BYTES or str(checkpoint) != text:
        raise MalformedError("a checkpoint with a malformed size or root hash")
    return checkpoint


def sign_checkpoint(checkpoint: Checkpoint, signer: NoteSigner) -> bytes:
    """The signed note. The caller must never sign two checkpoints that are not consistent."""
    return signer.sign(str(checkpoint))


def open_checkpoint(note: bytes, key: NoteKey) -> Checkpoint:
    """The checkpoint that `key` signed; its origin must be the key's name. Raises MalformedError."""
    checkpoint = parse_checkpoint(open_note(note, key))
    if checkpoint.origin != key.name:
        raise MalformedError("a checkpoint of another log: its origin is not the key's name")
    return checkpoint
