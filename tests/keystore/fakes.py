"""A sealed keystore in a folder, and a clock that moves when it is told to."""

from __future__ import annotations

from pathlib import Path

from broker.adapters.clock import SystemClock
from broker.adapters.keystore import SealedKeySource, SealedStore
from broker.adapters.keystore.store import OpenedKeystore
from broker.model.credential import KeyVersion

KEY = "sk-test-0123456789abcdef"


class SetClock(SystemClock):
    """Stands still until `ns` is set."""

    ns = 1_000_000_000

    def monotonic_ns(self) -> int:
        return self.ns


class CountingStore(SealedStore):
    """Counts how often a key is opened."""

    opened = 0

    def newest(self, name: str) -> OpenedKeystore:
        self.opened += 1
        return super().newest(name)


class SealedSetup:
    """Implements StoreSetup over a real folder."""

    def __init__(self, directory: Path, hold_seconds: float = 60.0) -> None:
        self.directory = directory
        self.clock = SetClock()
        self.keys = CountingStore(directory)
        self.source = SealedKeySource(self.keys, self.clock, hold_seconds)

    def store(self, credential: str, key: str) -> None:
        SealedStore(self.directory).put(credential, key)

    def delete(self, credential: str) -> None:
        self.file(credential).unlink()

    def quarantine(self, credential: str, reason: str) -> None:
        SealedStore(self.directory).quarantine(credential, reason)

    def release(self, credential: str) -> None:
        SealedStore(self.directory).release(credential)

    def shown(self, credential: str) -> list[KeyVersion]:
        return list(SealedStore(self.directory).versions(credential))

    def lock(self) -> None:
        (self.directory / "seal.key").rename(self.directory / "seal.away")

    async def pass_second(self) -> None:
        self.clock.ns += 1_000_000_000

    async def pass_ceiling(self) -> None:
        self.clock.ns += 61_000_000_000

    def file(self, credential: str) -> Path:
        return self.directory / f"{credential}.sealed.json"
