"""Which broker this is: a random name of its own in a file, and the lock that keeps it to one process.

Knows: files and their locks. Must not know: what the name is for. Blocking; used at start-up only.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from broker.adapters.dynamic.names import INSTANCE_BYTES
from broker.adapters.keyfile import load_or_create_secret
from broker.errors import BrokerError, Kind


@contextmanager
def held_instance(path: Path) -> Iterator[str]:
    """The instance's name, made where the file is missing; no other process gets it meanwhile: it would
    delete our accounts as if we had crashed. Raises CREDENTIAL_STORE_UNAVAILABLE and OSError.
    """
    name = load_or_create_secret(path, INSTANCE_BYTES).hex()
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _lock(descriptor, path)
        yield name
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in {errno.EAGAIN, errno.EACCES}:
            raise
        raise BrokerError(
            Kind.CREDENTIAL_STORE_UNAVAILABLE,
            f"Another process is the broker instance of {path.name}.",
            remedy="Stop it, or give this process an instance file of its own.",
        ) from None
