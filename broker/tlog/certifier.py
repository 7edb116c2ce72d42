"""Whom the reader of a log believes about keys: the public keys of the certifier, all versions of it.

Knows: PEM, and what Vault prints of a Transit key. Must not know: Vault's API, files, logs.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from broker.tlog.malformed import MalformedError
from broker.tlog.note import KEY_BYTES, NoteKey

_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", re.DOTALL)


def certifier_name(origin: str) -> str:
    """The certifier's name under the checkpoints of the log `origin`.

    >>> certifier_name("broker.example.org/log1")
    'broker.example.org/log1/certifier'
    """
    return f"{origin}/certifier"


@dataclass(frozen=True, slots=True)
class TrustedCertifier:
    """The certifying key's public halves: a rotated version stays good for what it signed. Never empty."""

    public_keys: tuple[bytes, ...]

    def signed(self, message: bytes, signature: bytes) -> bool:
        """Whether one of the keys signed exactly `message`."""
        return any(_verifies(key, message, signature) for key in self.public_keys)

    def note_keys(self, origin: str) -> tuple[NoteKey, ...]:
        """The keys as they sign checkpoints of the log `origin`."""
        return tuple(NoteKey(certifier_name(origin), key) for key in self.public_keys)


def parse_certifier(data: bytes) -> TrustedCertifier:
    """The keys of PEM text (one or more PUBLIC KEY blocks), or of what
    `vault read -format=json transit/keys/<name>` prints. Raises MalformedError, also for any key that is not
    Ed25519.
    """
    if data.lstrip().startswith(b"{"):
        return TrustedCertifier(_vault_keys(data))
    blocks = [found[0] for found in _PEM.finditer(data)]
    if not blocks:
        raise MalformedError("neither PEM public keys nor the JSON of a Transit key")
    return TrustedCertifier(tuple(_pem_key(block) for block in blocks))


def _pem_key(block: bytes) -> bytes:
    try:
        key = load_pem_public_key(block)
    except ValueError as error:
        raise MalformedError("PEM text that is no public key") from error
    if not isinstance(key, Ed25519PublicKey):
        raise MalformedError("a public key that is not Ed25519")
    return key.public_bytes_raw()


def _vault_keys(data: bytes) -> tuple[bytes, ...]:
    try:
        match orjson.loads(data):
            case {"data": {"keys": {} as versions}} if versions:
                return tuple(
                    _vault_key(versions[number]["public_key"]) for number in sorted(versions, key=int)
                )
    except (KeyError, TypeError, ValueError, binascii.Error):
        pass
    raise MalformedError("JSON that is not what Vault prints of an Ed25519 Transit key")


def _vault_key(encoded: str) -> bytes:
    raw = base64.b64decode(encoded, validate=True)
    if len(raw) != KEY_BYTES:
        raise ValueError("not Ed25519")
    return raw


def _verifies(public_key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except InvalidSignature:
        return False
    return True
