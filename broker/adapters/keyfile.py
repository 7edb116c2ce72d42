"""Secrets of this host in files that only their owner may read: made once, never overwritten.

Knows: files and their modes. Must not know: what a key is for. Blocking; used at start-up only.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from broker.errors import BrokerError, Kind

_OWNER_ONLY = 0o600


def load_or_create_ed25519(path: Path) -> Ed25519PrivateKey:
    """The Ed25519 key of a PEM file (PKCS #8), made where it is missing.

    Raises BrokerError CREDENTIAL_STORE_UNAVAILABLE for a file that others may read or that holds another
    kind of key, and OSError.
    """
    if not path.exists():
        pem = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        create_private(path, pem)
    try:
        key = serialization.load_pem_private_key(read_private(path), password=None)
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise _unusable(path, "does not hold an Ed25519 key in PEM", "Restore it from a backup.")
    return key


def load_or_create_secret(path: Path, size: int) -> bytes:
    """`size` random bytes, made where the file is missing. Raises as `load_or_create_ed25519`."""
    if not path.exists():
        create_private(path, os.urandom(size))
    secret = read_private(path)
    if len(secret) != size:
        raise _unusable(path, f"does not hold {size} bytes", "Restore it from a backup.")
    return secret


def create_private(path: Path, content: bytes) -> None:
    """Writes a 0600 file whole or not at all; one that another process made meanwhile stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        path.hardlink_to(scratch)  # unlike a rename, never replaces a key that another process just made
    except FileExistsError:
        return
    finally:
        scratch.unlink()
    _sync(path.parent)


def replace_private(path: Path, content: bytes) -> None:
    """Writes a 0600 file in place of one that may be there: a reader sees the old one or the new one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.unlink(missing_ok=True)
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, _OWNER_ONLY)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    scratch.replace(path)
    _sync(path.parent)


def read_private(path: Path) -> bytes:
    """The file's content. Raises CREDENTIAL_STORE_UNAVAILABLE where others may read it."""
    if stat.S_IMODE(path.stat().st_mode) & ~_OWNER_ONLY:
        raise _unusable(path, "is open to others", "Run `chmod 600` on it, and replace it if it was read.")
    return path.read_bytes()


def _sync(folder: Path) -> None:
    """Makes the names in it durable: what a key signed may outlive a power failure, so must the key."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unusable(path: Path, what: str, remedy: str) -> BrokerError:
    return BrokerError(Kind.CREDENTIAL_STORE_UNAVAILABLE, f"The key file {path.name} {what}.", remedy=remedy)
