"""The log's two Ed25519 keys on disk: one signs checkpoints, one signs records.

Knows PEM files readable by their owner only. Must not know what is signed. The files are created once,
complete or not at all, and never overwritten.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from broker.adapters.keyfile import load_or_create_ed25519


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
        return cls(
            load_or_create_ed25519(directory / "checkpoint.pem"),
            load_or_create_ed25519(directory / "record.pem"),
        )
