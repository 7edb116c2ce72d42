"""Which broker this is: a random name of its own in a file, and the lock that keeps it to one process.

Knows: files and their locks. Must not know: what the name is for. Blocking; used at start-up only.
"""

from __future__ import annotations

from pathlib import Path

from broker.adapters.ephemeral_keys.dynamic.names import INSTANCE_BYTES
from broker.adapters.filelock import try_lock
from broker.adapters.keyfile import load_or_create_secret
from broker.errors import BrokerError, Kind


class Instance:
    """The name in a file, made where the file is missing. No other process gets it until `release`: it would
    delete our accounts as if we had crashed. Raises CREDENTIAL_STORE_UNAVAILABLE and OSError.
    """

    def __init__(self, path: Path) -> None:
        self.name = load_or_create_secret(path, INSTANCE_BYTES).hex()
        self._file = path.open("rb")
        try:
            _lock(self._file.fileno(), path)
        except BaseException:
            self._file.close()
            raise

    def release(self) -> None:
        """Lets another process be this instance. Idempotent."""
        self._file.close()


def _lock(descriptor: int, path: Path) -> None:
    if not try_lock(descriptor):
        raise BrokerError(
            Kind.CREDENTIAL_STORE_UNAVAILABLE,
            f"Another process is the broker instance of {path.name}.",
            remedy="Stop it, or give this process an instance file of its own.",
        )
