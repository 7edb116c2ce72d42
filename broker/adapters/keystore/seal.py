"""The seal: AES-256-GCM under a key that lives in its own 0600 file.

Knows: one key file, and how a value is bound to its place. Must not know: how sealed values are stored.
"""

from __future__ import annotations

import base64
import binascii
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from broker.adapters.keystore.faults import unusable

_KEY_BYTES = 32
_NONCE_BYTES = 12  # NIST SP 800-38D, 8.2: 96 bits; drawn anew for every write
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_MAX_KEY_FILE = 1024


@dataclass(frozen=True, slots=True)
class SealedPlace:
    """What a sealed value is: it opens under this name, version and kind and under no other."""

    name: str
    version: int
    kind: str

    def associated(self) -> bytes:
        """The associated data of the seal; no part can hold the separator."""
        return "\0".join(("broker keystore v1", self.name, str(self.version), self.kind)).encode()


class Seal:
    """Seals and opens. Its key is in no `repr`."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    def close(self, value: str, place: SealedPlace) -> bytes:
        """Nonce and ciphertext."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, value.encode(), place.associated())

    def open(self, sealed: bytes, place: SealedPlace) -> str:
        """Raises CREDENTIAL_STORE_UNAVAILABLE where it was changed, or sealed by another key or elsewhere."""
        try:
            plain = self._aead.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], place.associated())
        except (InvalidTag, ValueError):
            raise unusable(
                "A sealed key does not open: it was changed, moved, or sealed with another seal key.",
                "Restore the keystore and its seal.key together, or run `broker keys import` again.",
            ) from None
        return plain.decode()


def create_seal_key(path: Path) -> None:
    """A new random key in a new 0600 file. Raises FileExistsError where there is one already."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(file, "wb") as out:
        out.write(base64.b64encode(os.urandom(_KEY_BYTES)) + b"\n")
        out.flush()
        os.fsync(out.fileno())


def read_seal(path: Path) -> Seal:
    """The seal of a key file that nobody but its owner can read. Raises CREDENTIAL_STORE_UNAVAILABLE."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(file, "rb") as source:
            _refuse_exposed(path, os.fstat(source.fileno()))
            text = source.read(_MAX_KEY_FILE)
    except OSError as error:
        raise unusable(
            f"The seal key {path} cannot be read: {error.strerror}.",
            "Create one with the first `broker keys import`, or correct the path and the owner.",
        ) from None
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != _KEY_BYTES:
        raise unusable(f"The seal key {path} is not 32 bytes in base64.", "Restore it from its backup.")
    return Seal(key)


def _refuse_exposed(path: Path, facts: os.stat_result) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise unusable(f"The seal key {path} is not a regular file.", "Put the key into a file of its own.")
    if facts.st_mode & _OTHERS:
        raise unusable(f"The seal key {path} can be read by others.", f"chmod 600 {path}")
    if facts.st_uid not in (0, os.geteuid()):
        raise unusable(f"The seal key {path} belongs to another user.", f"chown it, then chmod 600 {path}")
