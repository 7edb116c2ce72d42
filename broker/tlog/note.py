"""Signed notes (C2SP signed-note): text under one Ed25519 signature, and the keys' text form.

Knows note syntax, key names and key IDs. Must not know what a note says or where keys are kept. Signatures by
other keys are allowed and ignored, as the specification asks.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from broker.tlog import base64s
from broker.tlog.malformed import MalformedError

ED25519 = b"\x01"
KEY_BYTES = 32
KEY_ID_BYTES = 4
MAX_NOTE_BYTES = 1_000_000
MAX_SIGNATURES = 100
_DASH = "\u2014 "


@dataclass(frozen=True, slots=True)
class NoteKey:
    """A public note key. `str()` is its vkey: `<name>+<hex key ID>+<base64 of 0x01 and the key>`."""

    name: str
    public_key: bytes

    def __post_init__(self) -> None:
        if (
            not self.name
            or "+" in self.name
            or not _printable(self.name)
            or any(c.isspace() for c in self.name)
        ):
            raise MalformedError("a key name that is empty or holds a space, a plus or a control character")
        if len(self.public_key) != KEY_BYTES:
            raise MalformedError("a public key that does not have 32 bytes")

    @property
    def key_id(self) -> bytes:
        """The first four bytes of SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key)."""
        return hashlib.sha256(self.name.encode() + b"\n" + ED25519 + self.public_key).digest()[:KEY_ID_BYTES]

    @classmethod
    def parse(cls, vkey: str) -> NoteKey:
        """Reads a vkey. Raises MalformedError for another key type, or a key ID that does not fit."""
        parts = vkey.split("+", 2)
        if len(parts) != len(("name", "key ID", "key")):
            raise MalformedError("a vkey without its three parts")
        raw = base64s.from_std(parts[2])
        if raw[:1] != ED25519:
            raise MalformedError("a vkey that is not Ed25519")
        key = cls(parts[0], raw[1:])
        if str(key) != vkey:
            raise MalformedError("a vkey whose key ID does not belong to its name and key")
        return key

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64s.to_std(ED25519 + self.public_key)}"


class NoteSigner:
    """Signs notes as `key`. `repr` shows only the public half."""

    __slots__ = ("_private", "key")

    def __init__(self, name: str, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.key = NoteKey(name, private.public_key().public_bytes_raw())

    def sign(self, text: str) -> bytes:
        """The note: `text`, a blank line and one signature. Raises MalformedError for text no note can
        hold.
        """
        _check_text(text)
        signature = self.key.key_id + self._private.sign(text.encode())
        return f"{text}\n{_DASH}{self.key.name} {base64s.to_std(signature)}\n".encode()

    def __repr__(self) -> str:
        return f"NoteSigner({self.key})"


def with_signature(note: bytes, key: NoteKey, signature: bytes) -> bytes:
    """`note` with one more signature line: that of `key`, made elsewhere. Raises MalformedError where the
    note is malformed or the signature does not verify.
    """
    encoded = base64s.to_std(key.key_id + signature)
    signed = note + f"{_DASH}{key.name} {encoded}\n".encode()
    open_note(signed, key)
    return signed


def open_note(note: bytes, key: NoteKey) -> str:
    """The text of `note`, once `key` is proven to have signed it.

    Raises MalformedError when the note is malformed, when `key` signed nothing, or when one of its signatures
    does not verify (C2SP signed-note, "Signatures").
    """
    text, lines = _split(note)
    public = Ed25519PublicKey.from_public_bytes(key.public_key)
    signatures = [_signature(line) for line in lines]
    ours = [raw for name, key_id, raw in signatures if (name, key_id) == (key.name, key.key_id)]
    if not ours:
        raise MalformedError("a note that this key did not sign")
    for raw in ours:
        try:
            public.verify(raw, text.encode())
        except InvalidSignature as error:
            raise MalformedError("a note with a forged signature") from error
    return text


def _split(note: bytes) -> tuple[str, list[str]]:
    if len(note) > MAX_NOTE_BYTES:
        raise MalformedError("a note of more than 1,000,000 bytes")
    try:
        whole = note.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedError("a note that is not UTF-8") from error
    text, blank, signatures = whole.rpartition("\n\n")
    if not blank or not signatures.endswith("\n"):
        raise MalformedError("a note without a signature block")
    _check_text(text + "\n")
    lines = signatures[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise MalformedError(f"a note with more than {MAX_SIGNATURES} signatures")
    return text + "\n", lines


def _signature(line: str) -> tuple[str, bytes, bytes]:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space or not _printable(line):
        raise MalformedError("a malformed signature line")
    if not name or "+" in name or any(c.isspace() for c in name):
        raise MalformedError("a signature line with a malformed key name")
    raw = base64s.from_std(encoded)
    if len(raw) <= KEY_ID_BYTES:
        raise MalformedError("a signature that is too short")
    return name, raw[:KEY_ID_BYTES], raw[KEY_ID_BYTES:]


def _check_text(text: str) -> None:
    if not text.endswith("\n") or not all(_printable(line) for line in text.split("\n")):
        raise MalformedError("note text without a final newline, or with a control character")


def _printable(line: str) -> bool:
    """Valid UTF-8 without ASCII control characters."""
    return not any(c < " " or "\ud800" <= c <= "\udfff" for c in line)
