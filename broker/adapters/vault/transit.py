"""The Certifier port over Vault Transit: a key that never leaves Vault signs what the broker gives it.

Knows: Transit's API and answers. Must not know: what is signed, threads.
"""

from __future__ import annotations

import base64
import re
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hvac.api.secrets_engines import Transit  # type: ignore[import-untyped]

from broker.adapters.vault.errors import VaultError, VaultErrorCode, VaultRefusedError, refused
from broker.adapters.vault.session import Session
from broker.ports import Signed

_SIGNATURE = re.compile(r"vault:v([1-9][0-9]{0,8}):([A-Za-z0-9+/]{86}==)\Z")
_TYPE = "ed25519"


class _TransitVersion(msgspec.Struct, frozen=True):
    public_key: str


class _TransitKey(msgspec.Struct, frozen=True):
    type: str
    exportable: bool
    allow_plaintext_backup: bool
    derived: bool
    keys: dict[str, _TransitVersion]


class TransitCertifier:
    """Implements ports.Certifier with the key `<mount>/keys/<key>`, its newest version.

    A key that could leave Vault, or is of another kind, is refused: nobody could say who signed with it.
    """

    def __init__(self, session: Session, *, mount: str = "transit", key: str = "broker") -> None:
        self._session = session
        self._mount = mount.strip("/")
        self._key = key
        self._public_keys: dict[int, bytes] = {}

    async def sign(self, message: bytes) -> Signed:
        """See ports.Certifier."""
        signed = await self._session.ask(lambda adapter: self._sign(Transit(adapter), message))
        if isinstance(signed, VaultError):
            raise signed.error()
        return signed

    def _sign(self, api: Transit, message: bytes) -> Signed:
        """The signature, once it has verified: what goes into a log stays there."""
        if not self._public_keys:
            self._public_keys = self._read(api)
        encoded = base64.b64encode(message).decode("ascii")
        answer = api.sign_data(self._key, hash_input=encoded, mount_point=self._mount)
        version, signature = _parsed(answer)
        if version not in self._public_keys:  # rotated since
            self._public_keys = self._read(api)
        public_key = self._public_keys.get(version, b"")
        if not _verifies(public_key, message, signature):
            raise _garbled()
        return Signed(signature, public_key, version)

    def _read(self, api: Transit) -> dict[int, bytes]:
        """The public half of each version."""
        place = f"{self._mount}/keys/{self._key}"
        try:
            answer = api.read_key(self._key, mount_point=self._mount)
        except VaultRefusedError as error:
            if error.refusal.cause is VaultErrorCode.ABSENT:
                raise refused(
                    VaultErrorCode.ABSENT, place, f"Make it: vault write -f {place} type={_TYPE}"
                ) from None
            raise
        try:
            key = msgspec.convert(answer["data"], _TransitKey)
            versions = {int(number): base64.b64decode(each.public_key) for number, each in key.keys.items()}
        except (KeyError, ValueError):  # a symmetric key has no public half
            raise refused(VaultErrorCode.UNFIT, place) from None
        if key.type != _TYPE or key.exportable or key.allow_plaintext_backup or key.derived:
            raise refused(VaultErrorCode.UNFIT, place)
        return versions


def _parsed(answer: dict[str, Any]) -> tuple[int, bytes]:
    """(version, signature) of `vault:v<version>:<base64>`."""
    data = answer.get("data")
    text = data.get("signature") if isinstance(data, dict) else None
    match = _SIGNATURE.match(text) if isinstance(text, str) else None
    if match is None:
        raise _garbled()
    return int(match[1]), base64.b64decode(match[2])


def _verifies(public_key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _garbled() -> VaultRefusedError:
    return refused(
        VaultErrorCode.GARBLED,
        " to a signing request",
        "Check that the address is Vault's, without a proxy in between.",
    )
