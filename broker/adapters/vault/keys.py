"""The broker's keys in KV version 2: which version is current, and the key itself.

Knows: KV v2's paths and answers. Must not know: caching, event loops. Blocking.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from hvac.api.secrets_engines import KvV2  # type: ignore[import-untyped]

from broker.adapters.credential_names import is_key
from broker.adapters.vault.errors import VaultErrorCode, VaultRefusedError, refused
from broker.adapters.vault.hvac_adapter import HvacAdapter
from broker.adapters.vault.quarantine import quarantine_of
from broker.model.secret import Lease, Secret

_T = TypeVar("_T")


class _KvVersion(msgspec.Struct, frozen=True):
    deletion_time: str
    destroyed: bool


class _KvMetadata(msgspec.Struct, frozen=True):
    current_version: int
    versions: dict[str, _KvVersion]
    custom_metadata: dict[str, str] | None = None


class _About(msgspec.Struct, frozen=True):
    version: int
    custom_metadata: dict[str, str] | None = None


class _Secret(msgspec.Struct, frozen=True):
    data: dict[str, object]
    metadata: _About


class KvKeys:
    """Keys at `<mount>/<prefix>/<credential>`, field `key`. All methods raise RefusedError."""

    def __init__(self, mount: str, prefix: str) -> None:
        self._mount = mount
        self._prefix = prefix

    def fetch(self, credential: str, known: Lease | None, adapter: HvacAdapter) -> Lease:
        """`known` itself while it is the current version and not deleted; otherwise the key, read anew."""
        api = KvV2(adapter)
        path = f"{self._prefix}/{credential}"
        if known is not None and self._is_current(api, path, known.key_version):
            return known
        return read_key(api, self._mount, path)

    def _is_current(self, api: KvV2, path: str, version: int) -> bool:
        """The metadata tell it without the key's leaving Vault. Whatever is unusual there is for the read of
        the key to judge: a deletion that is only planned, for instance.
        """
        try:
            answer = api.read_secret_metadata(path, mount_point=self._mount)
        except VaultRefusedError as error:
            if error.refusal.cause is VaultErrorCode.ABSENT:
                return False
            raise
        metadata = _convert(answer, _KvMetadata)
        if quarantine_of(metadata.custom_metadata, metadata.current_version):
            raise refused(VaultErrorCode.QUARANTINED, f"{self._mount}/{path}")
        current = metadata.versions.get(str(version))
        alive = current is not None and not current.destroyed and not current.deletion_time
        return alive and metadata.current_version == version


def read_key(api: KvV2, mount: str, path: str) -> Lease:
    """The newest version of the key at `mount`/`path`. Raises RefusedError."""
    place = f"{mount}/{path}"
    try:
        answer = api.read_secret_version(path, mount_point=mount, raise_on_deleted_version=True)
    except VaultRefusedError as error:
        if error.refusal.cause is VaultErrorCode.ABSENT:
            raise refused(VaultErrorCode.ABSENT, place) from None
        raise
    return _lease(answer, place)


def _lease(answer: dict[str, Any], place: str) -> Lease:
    secret = _convert(answer, _Secret)
    if quarantine_of(secret.metadata.custom_metadata, secret.metadata.version):
        raise refused(VaultErrorCode.QUARANTINED, place)
    key = secret.data.get("key")
    if not isinstance(key, str) or not is_key(key):
        raise refused(VaultErrorCode.UNUSABLE, place)
    return Lease(f"vault:{place}", secret.metadata.version, Secret(key))


def _convert(answer: dict[str, Any], wanted: type[_T]) -> _T:
    try:
        return msgspec.convert(answer["data"], wanted)
    except (KeyError, msgspec.ValidationError):
        pass
    raise refused(VaultErrorCode.GARBLED)
