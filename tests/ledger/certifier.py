"""A certifier as Vault is one, in memory: it can be away, and its key can be rotated."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from broker.errors import BrokerError, Kind
from broker.ports import Signed


class MemoryCertifier:
    """Implements ports.Certifier."""

    def __init__(self) -> None:
        self.keys = [Ed25519PrivateKey.generate()]
        self.away = False
        self.signed: list[bytes] = []

    @property
    def pem(self) -> bytes:
        """All versions' public halves, as an auditor keeps them."""
        return b"".join(
            key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            for key in self.keys
        )

    def rotate(self) -> None:
        self.keys.append(Ed25519PrivateKey.generate())

    async def sign(self, message: bytes) -> Signed:
        if self.away:
            raise BrokerError(
                Kind.CREDENTIAL_STORE_UNAVAILABLE, "Vault cannot be reached.", remedy="Check that it runs."
            )
        self.signed.append(message)
        key = self.keys[-1]
        return Signed(key.sign(message), key.public_key().public_bytes_raw(), len(self.keys))
