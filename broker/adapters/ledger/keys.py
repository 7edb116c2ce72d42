"""The log's two Ed25519 keys on disk: one signs checkpoints, one signs records.

Knows PEM files readable by their owner only. Must not know what is signed. The files are created once,
complete or not at all, and never overwritten.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from broker.errors import BrokerError, Kind

_OWNER_ONLY = 0o600


@dataclass(frozen=True, slots=True)
class LogKeys:
    """`checkpoint` signs tree heads (the note key), `record` signs entries."""

    checkpoint: Ed25519PrivateKey = field(repr=False)
    record: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def load_or_create(cls, directory: Path) -> LogKeys:
        """Reads `checkpoint.pem` and `record.pem` in `directory`, creating each that is missing with mode
        0600.

        Blocking. Raises BrokerError CREDENTIAL_STORE_UNAVAILABLE for a file that others may read or that is
        not an Ed25519 key, and OSError.
        """
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(_load_or_create(directory / "checkpoint.pem"), _load_or_create(directory / "record.pem"))


def _load_or_create(path: Path) -> Ed25519PrivateKey:
    if not path.exists():
        _create(path)
    return _load(path)


def _create(path: Path) -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    scratch = path.with_suffix(f".{os.getpid()}.tmp")
    fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    try:
        os.write(fd, pem)
        os.fsync(fd)
    finally:
        os.close(fd)
    try:
        path.hardlink_to(scratch)  # unlike a rename, never replaces a key that another process just made
    except FileExistsError:
        return
    finally:
        scratch.unlink()


def _load(path: Path) -> Ed25519PrivateKey:
    if stat.S_IMODE(path.stat().st_mode) & ~_OWNER_ONLY:
        raise BrokerError(
            Kind.CREDENTIAL_STORE_UNAVAILABLE,
            f"The key file {path.name} is open to others.",
            remedy="Run `chmod 600` on it, and replace the key if somebody may have read it.",
        )
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise BrokerError(
            Kind.CREDENTIAL_STORE_UNAVAILABLE,
            f"The key file {path.name} does not hold an Ed25519 key in PEM.",
            remedy="Restore it from a backup. A new key would need a new log directory.",
        )
    return key
