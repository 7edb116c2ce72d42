"""The keystore's files: one per credential, all its versions, replaced as a whole.

Knows: the file format, atomic and durable replacement. Must not know: caching, event loops, callers. All
functions block; `source` runs them in a thread.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from broker.adapters.credential_names import is_name, refuse_key, refuse_name, refuse_reason
from broker.adapters.keystore.faults import unusable
from broker.adapters.keystore.seal import SealedPlace, create_seal_key, read_seal
from broker.model.credential import KeyState, KeyVersion
from broker.model.secret import Secret

SEAL_KEY = "seal.key"
_SUFFIX = ".sealed.json"
_MAX_FILE_BYTES = 1024 * 1024
_KIND = "api-key"


class _SealedVersion(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    version: int
    kind: str
    created: int
    sealed: str
    quarantined: str = ""  # the reason; empty: it is not


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    v: int
    name: str
    versions: tuple[_SealedVersion, ...]


@dataclass(frozen=True, slots=True)
class OpenedKeystore:
    """A version with its secret."""

    about: KeyVersion
    secret: Secret = field(repr=False)


class SealedStore:
    """Implements ports.KeyStore in `directory`; its seal key is the file `seal.key` there.

    Every method raises BrokerError CREDENTIAL_STORE_UNAVAILABLE with what to do about it.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, name: str, value: str) -> KeyVersion:
        """Seals `value` as the next version of `name`; durable when it returns. The first one of all makes
        the directory (0700) and its seal key (0600).
        """
        refuse_key(value)
        path = self._path(name)
        with self._writing():
            seal = read_seal(self._directory / SEAL_KEY)
            before = self._load(name, path).versions if path.exists() else ()
            number = before[-1].version + 1 if before else 1
            about = KeyVersion(name, number, _KIND, int(time.time()))
            sealed = base64.b64encode(seal.close(value, SealedPlace(name, number, _KIND))).decode()
            new = _SealedVersion(number, _KIND, about.created, sealed)
            _replace(path, msgspec.json.encode(_File(1, name, (*before, new))))
        return about

    def newest(self, name: str) -> OpenedKeystore:
        """The newest version, opened; none where it is quarantined."""
        path = self._path(name)
        last = self._load(name, path).versions[-1]
        if last.quarantined:
            raise unusable(
                f"The key of {name!r} is quarantined.",
                f"Give another: broker keys rotate {name}. Or end it: broker keys release {name}",
            )
        seal = read_seal(self._directory / SEAL_KEY)
        try:
            sealed = base64.b64decode(last.sealed, validate=True)
        except binascii.Error:
            raise _damaged(path) from None
        secret = Secret(seal.open(sealed, SealedPlace(name, last.version, last.kind)))
        return OpenedKeystore(KeyVersion(name, last.version, last.kind, last.created), secret)

    def versions(self, name: str) -> tuple[KeyVersion, ...]:
        """All versions of one key, oldest first."""
        versions = self._load(name, self._path(name)).versions
        return tuple(_shown(name, each, newest=each is versions[-1]) for each in versions)

    def quarantine(self, name: str, reason: str) -> KeyVersion:
        """See ports.KeyStore."""
        refuse_reason(reason)
        return self._mark(name, reason)

    def release(self, name: str) -> KeyVersion:
        """See ports.KeyStore."""
        return self._mark(name, "")

    def _mark(self, name: str, reason: str) -> KeyVersion:
        path = self._path(name)
        with self._writing():
            *before, newest = self._load(name, path).versions
            marked = msgspec.structs.replace(newest, quarantined=reason)
            _replace(path, msgspec.json.encode(_File(1, name, (*before, marked))))
        return _shown(name, marked, newest=True)

    def names(self) -> tuple[str, ...]:
        """The credentials that the keystore holds, sorted."""
        found = sorted(path.name.removesuffix(_SUFFIX) for path in self._directory.glob(f"*{_SUFFIX}"))
        return tuple(name for name in found if is_name(name))

    def fingerprint(self, name: str) -> tuple[int, int, int]:
        """Changes whenever the key's file is replaced."""
        path = self._path(name)
        try:
            facts = path.stat()
        except OSError:
            raise _missing(name) from None
        return facts.st_ino, facts.st_mtime_ns, facts.st_size

    def _path(self, name: str) -> Path:
        refuse_name(name)
        return self._directory / f"{name}{_SUFFIX}"

    def _load(self, name: str, path: Path) -> _File:
        try:
            with path.open("rb") as source:
                raw = source.read(_MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            raise _missing(name) from None
        except OSError as error:
            raise unusable(f"{path} cannot be read: {error.strerror}.", "Check its owner and mode.") from None
        try:
            content = msgspec.json.decode(raw, type=_File)
        except msgspec.DecodeError:
            raise _damaged(path) from None
        numbers = [each.version for each in content.versions]
        if content.v != 1 or content.name != name or not numbers or numbers != sorted(set(numbers)):
            raise _damaged(path)
        return content

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One writer at a time, in a directory that is there."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (self._directory / SEAL_KEY).exists() and not self.names():
                create_seal_key(self._directory / SEAL_KEY)
            yield
        finally:
            os.close(lock)


def _shown(name: str, version: _SealedVersion, *, newest: bool) -> KeyVersion:
    state = KeyState.CURRENT if newest else KeyState.REPLACED
    if version.quarantined:
        state = KeyState.QUARANTINED
    return KeyVersion(name, version.version, version.kind, version.created, state, version.quarantined)


def _replace(path: Path, content: bytes) -> None:
    """Replaces a file so that a reader, or a machine that loses power, sees the old one or the new one."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(file, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _missing(name: str) -> Exception:
    return unusable(
        f"The keystore holds no credential {name!r}.", f"Run `broker keys import {name}` and give it the key."
    )


def _damaged(path: Path) -> Exception:
    return unusable(
        f"{path} is not a keystore file, or it is damaged.", "Restore it, or import the key again."
    )
