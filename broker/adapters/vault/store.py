"""The operator's side of the keys in KV version 2: put, list, quarantine, release.

Knows: KV v2's paths and answers. Must not know: where the operator's token comes from. It needs no right to
read a key. Blocking.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from broker.adapters.credential_names import is_name, refuse_key, refuse_name, refuse_reason
from broker.adapters.vault.errors import VaultErrorCode, refused
from broker.adapters.vault.operator import Operator
from broker.adapters.vault.quarantine import quarantine_of, quarantined, released
from broker.model.credential import KeyState, KeyVersion

_KIND = "api-key"
_T = TypeVar("_T")


class _StoredVersion(msgspec.Struct, frozen=True):
    created_time: datetime
    deletion_time: str
    destroyed: bool


class _StoredMetadata(msgspec.Struct, frozen=True):
    current_version: int
    versions: dict[int, _StoredVersion]
    custom_metadata: dict[str, str] | None = None


class _Written(msgspec.Struct, frozen=True):
    version: int
    created_time: datetime


class _Names(msgspec.Struct, frozen=True):
    keys: list[str]


class VaultStore:
    """Implements ports.KeyStore at `<mount>/<prefix>/<credential>`, field `key`."""

    def __init__(self, operator: Operator, mount: str, prefix: str) -> None:
        self._operator = operator
        self._mount = mount.strip("/")
        self._prefix = prefix.strip("/")

    def names(self) -> tuple[str, ...]:
        """See ports.KeyStore."""
        answer = self._operator.find("list", f"{self._mount}/metadata/{self._prefix}")
        found = _converted(answer, _Names).keys if answer is not None else []
        return tuple(sorted(name for name in found if is_name(name)))

    def versions(self, name: str) -> tuple[KeyVersion, ...]:
        """See ports.KeyStore."""
        metadata = self._metadata(name)
        return tuple(_shown(name, number, metadata) for number in sorted(metadata.versions))

    def put(self, name: str, value: str) -> KeyVersion:
        """See ports.KeyStore."""
        refuse_name(name)
        refuse_key(value)
        answer = self._operator.ask("post", self._path("data", name), {"data": {"key": value}})
        written = _converted(answer, _Written)
        return KeyVersion(name, written.version, _KIND, int(written.created_time.timestamp()))

    def quarantine(self, name: str, reason: str) -> KeyVersion:
        """See ports.KeyStore."""
        refuse_reason(reason)
        return self._mark(name, quarantined(reason, self._metadata(name).current_version))

    def release(self, name: str) -> KeyVersion:
        """See ports.KeyStore."""
        return self._mark(name, released())

    def _mark(self, name: str, custom: dict[str, str | None]) -> KeyVersion:
        path = self._path("metadata", name)
        patch = {"custom_metadata": custom}
        self._operator.ask("patch", path, patch, content_type="application/merge-patch+json")
        metadata = self._metadata(name)
        return _shown(name, metadata.current_version, metadata)

    def _metadata(self, name: str) -> _StoredMetadata:
        refuse_name(name)
        answer = self._operator.find("get", self._path("metadata", name))
        if answer is None:
            raise refused(VaultErrorCode.ABSENT, f"{self._mount}/{self._prefix}/{name}").refusal.error()
        return _converted(answer, _StoredMetadata)

    def _path(self, part: str, name: str) -> str:
        return f"{self._mount}/{part}/{self._prefix}/{name}"


def _shown(name: str, number: int, metadata: _StoredMetadata) -> KeyVersion:
    try:
        version = metadata.versions[number]
    except KeyError:
        raise refused(VaultErrorCode.GARBLED).refusal.error() from None
    reason = quarantine_of(metadata.custom_metadata, number)
    state = KeyState.CURRENT if number == metadata.current_version else KeyState.REPLACED
    if version.destroyed or _is_past(version.deletion_time):
        state = KeyState.DELETED
    elif reason:
        state = KeyState.QUARANTINED
    return KeyVersion(name, number, _KIND, int(version.created_time.timestamp()), state, reason)


def _is_past(deletion: str) -> bool:
    """Whether a version is deleted, and not only going to be (delete_version_after)."""
    try:
        return bool(deletion) and datetime.fromisoformat(deletion) <= datetime.now(UTC)
    except ValueError:
        raise refused(VaultErrorCode.GARBLED).refusal.error() from None


def _converted(answer: dict[str, Any], wanted: type[_T]) -> _T:
    try:
        return msgspec.convert(answer["data"], wanted, strict=False)
    except (KeyError, msgspec.ValidationError):
        pass
    raise refused(VaultErrorCode.GARBLED).refusal.error()
