"""Keys that upstream refused: told of once, and let go when they were rotated.

Knows: what is written about a key, and that another version of it is another key. Must not know: pools.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from hashlib import sha256

import structlog

from broker.adapters.keypool.key_health import KeyHealth, Version
from broker.errors import BrokerError
from broker.model.record import Record, RecordType
from broker.ports import Clock, CredentialSource, Ledger

LOOK_SECONDS = 0.25
"""The source answers from memory and looks at its store in its own time: this costs the store nothing."""


class Quarantine:
    """Watches the keys it holds in one task, which ends when there is nothing to watch or to record."""

    def __init__(self, source: CredentialSource, clock: Clock, ledger: Ledger) -> None:
        self._source = source
        self._clock = clock
        self._ledger = ledger
        self._held: list[KeyHealth] = []
        self._told: dict[str, int] = {}
        self._told_elsewhere: set[str] = set()
        self._unrecorded: deque[Record] = deque()
        self._watching: asyncio.Task[None] | None = None
        self._log = structlog.get_logger()

    def take(self, health: KeyHealth, version: Version, code: str) -> None:
        """No call gets this version of the key from now on."""
        health.refused = version
        self._held.append(health)
        self._log.error(
            "key_quarantined",
            key_ref=version.key_ref,
            key_version=version.number,
            upstream_code=code,
            remedy=f"Find out why OpenAI refuses it, then: broker keys rotate {health.key}",
        )
        self._record(version, "quarantined")

    def hold(self, health: KeyHealth, version: Version) -> None:
        """The same, where another process of this broker has told of it, and will of its end."""
        health.refused = version
        self._held.append(health)
        self._told_elsewhere.add(health.key)
        self._watch_on()

    def report(self, version: Version, code: str) -> bool:
        """The only key of its credential: it is told of, once a version, and used on. Whether it was news."""
        if self._told.get(version.key_ref) == version.number:
            return False
        self._told[version.key_ref] = version.number
        self._log.error(
            "key_refused",
            key_ref=version.key_ref,
            key_version=version.number,
            upstream_code=code,
            remedy="Find out why OpenAI refuses it, then rotate it; a pool would have had another key.",
        )
        self._record(version, "key_refused")
        return True

    async def aclose(self) -> None:
        """Ends the task; what is not yet in the log goes there first."""
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
        await self._write()

    def _record(self, version: Version, reason: str) -> None:
        """The log is told by the task: nobody who is told of a 401 waits for the disk."""
        place = f"{version.key_ref} {version.number}".encode()
        self._unrecorded.append(
            Record(
                RecordType.CONFIG,
                call_id=f"key_{sha256(place).hexdigest()[:32]}",
                reason=reason,
                key_ref=version.key_ref,
                key_version=version.number,
            )
        )
        self._watch_on()

    def _watch_on(self) -> None:
        if self._watching is None or self._watching.done():
            self._watching = asyncio.ensure_future(self._watch())

    async def _watch(self) -> None:
        while True:
            await self._write()
            if not self._held:
                return
            await self._clock.sleep(LOOK_SECONDS)
            for health in tuple(self._held):
                await self._look(health)

    async def _look(self, health: KeyHealth) -> None:
        """A rotated key is another key. One that the source does not give stays where it is."""
        refused = health.refused
        try:
            lease = await self._source.lease(health.key)
        except BrokerError:
            return
        if refused is None or (lease.key_ref, lease.key_version) == (refused.key_ref, refused.number):
            return
        version = Version(lease.key_ref, lease.key_version)
        health.release(version)
        self._held.remove(health)
        if health.key in self._told_elsewhere:
            self._told_elsewhere.remove(health.key)
            return
        self._log.info("key_released", key_ref=lease.key_ref, key_version=lease.key_version)
        self._record(version, "released")

    async def _write(self) -> None:
        """What is waiting, into the ledger. One that is refused for good has already said so itself."""
        while self._unrecorded:
            with suppress(BrokerError):
                await asyncio.shield(self._ledger.append(self._unrecorded[0]))
            self._unrecorded.popleft()
