"""The Ed25519 key that signs records, its short name, and checking what it signed.

Knows keys and signatures over bytes (RFC 8032); must not know where keys are kept or what an entry says.
"""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from broker.tlog import base64s
from broker.tlog.malformed import MalformedError


class RecordVerifier:
    """A public record key. `kid` is the first 8 bytes of SHA-256 over the 32 key bytes, in hex."""

    __slots__ = ("_key", "kid", "public_key")

    def __init__(self, public_key: bytes) -> None:
        try:
            self._key = Ed25519PublicKey.from_public_bytes(public_key)
        except ValueError as error:
            raise MalformedError("not an Ed25519 public key") from error
        self.public_key = base64s.to_url(public_key)
        self.kid = hashlib.sha256(public_key).hexdigest()[:16]

    @classmethod
    def parse(cls, public_key: str) -> RecordVerifier:
        """From a `key` record's `public_key`: unpadded base64url. Raises MalformedError."""
        return cls(base64s.from_url(public_key))

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether this key signed exactly `message`."""
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


class RecordSigner:
    """The private half. `repr` shows only the kid."""

    __slots__ = ("_key", "kid", "public_key")

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        verifier = RecordVerifier(key.public_key().public_bytes_raw())
        self.kid = verifier.kid
        self.public_key = verifier.public_key

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature."""
        return self._key.sign(message)

    def __repr__(self) -> str:
        return f"RecordSigner(kid={self.kid})"
