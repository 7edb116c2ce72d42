"""One credential's key in memory: confirmed every second, read anew in good time, dropped at its ceiling.

Knows: how long a key may be used and held. Must not know: Vault, threads. Belongs to one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from broker.adapters.vault.errors import VaultError, VaultErrorCode, refused
from broker.model.secret import Lease
from broker.model.units import NS_PER_SECOND
from broker.ports import Clock

CONFIRM_SECONDS = 1.0  # a call uses no key that was not the current one this much earlier, or later
_AHEAD_SECONDS = 0.05  # a check begins this much early: where Vault is quick, no call waits for it
PATIENCE_SECONDS = 0.25  # a slower Vault counts as away for calls that have a key
REST_SECONDS = 1.0
_REST_JITTER_SECONDS = 0.5

Fetch = Callable[[Lease | None], Awaitable[Lease | VaultError]]
"""Asks the store: the same lease while it is current, a new one, or why not."""


@dataclass(frozen=True, slots=True)
class _CachedLease:
    """A key read at `read_at` and found current at `confirmed_at` (monotonic ns, before it was asked)."""

    lease: Lease = field(repr=False)
    read_at: int
    confirmed_at: int
    drop_at: int

    def fresh(self, now: int) -> bool:
        until = min(self.confirmed_at + int(CONFIRM_SECONDS * NS_PER_SECOND), self.drop_at)
        return self.confirmed_at <= now < until

    def usable(self, now: int) -> bool:
        return self.read_at <= now < self.drop_at

    def young(self, now: int) -> bool:
        """In the first half of its life, to confirm it is enough. Later it is read anew: half a life is left
        when Vault goes away.
        """
        return self.read_at <= now < (self.read_at + self.drop_at) // 2


class CachedKey:
    """Leases one credential's key."""

    def __init__(self, fetch: Fetch, clock: Clock, hold_seconds: float) -> None:
        self._fetch = fetch
        self._clock = clock
        self._hold = int(hold_seconds * NS_PER_SECOND)
        self._held: _CachedLease | None = None
        self._refusal: VaultError | None = None
        self._check: asyncio.Task[Lease] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._dropping: asyncio.TimerHandle | None = None
        self._used = False
        self._forgotten = 0

    @property
    def idle(self) -> bool:
        """Nothing is held, asked or awaited."""
        return self._held is None and self._check is None and self._timer is None

    async def lease(self) -> Lease:
        """The current key. While the store is away, the held one until its ceiling. Raises BrokerError."""
        self._used = True
        held, now = self._held, self._clock.monotonic_ns()
        if held is not None and held.fresh(now):
            return held.lease
        usable = held is not None and held.usable(now)
        if self._refusal is not None and self._timer is not None:  # it rests after a failed check
            if held is None or not usable:
                raise self._refusal.error()
            return held.lease
        check = self._begin_check()
        if held is not None and usable and await self._is_slow(check):
            return held.lease
        return await asyncio.shield(check)  # one cancelled caller does not cancel the others

    def forget(self) -> None:
        """Drops the key now; also one that is on its way."""
        self._forgotten += 1
        self._drop()

    def close(self) -> None:
        self.forget()
        if self._timer is not None:
            self._timer.cancel()

    async def _is_slow(self, check: asyncio.Task[Lease]) -> bool:
        """Whether the held key must do. Where the store was away a moment ago, nobody waits for it."""
        if self._refusal is None:
            forgotten = self._forgotten
            done, _ = await asyncio.wait({check}, timeout=PATIENCE_SECONDS)
            if done or forgotten != self._forgotten:
                return False
            self._refusal = refused(VaultErrorCode.SLOW).refusal
        return True

    def _begin_check(self) -> asyncio.Task[Lease]:
        """Single-flight."""
        if self._check is None:
            self._check = asyncio.ensure_future(self._confirm())
            self._check.add_done_callback(self._over)
        return self._check

    async def _confirm(self) -> Lease:
        while True:
            held, now, forgotten = self._held, self._clock.monotonic_ns(), self._forgotten
            found = await self._fetch(held.lease if held is not None and held.young(now) else None)
            if forgotten == self._forgotten:
                break
        if isinstance(found, VaultError):
            return self._refused(found)
        self._refusal = None
        if held is not None and found is held.lease:
            self._held = _CachedLease(found, held.read_at, now, held.drop_at)
        else:
            self._held = _CachedLease(found, now, now, now + self._hold)
            self._drop_later()
        self._tick_in(
            max(0.0, CONFIRM_SECONDS - _AHEAD_SECONDS - (self._clock.monotonic_ns() - now) / NS_PER_SECOND)
        )
        return found

    def _refused(self, refusal: VaultError) -> Lease:
        """Trouble leaves the held key in use until its ceiling; that the key is gone does not."""
        self._refusal = refusal
        jitter = int.from_bytes(self._clock.random_bytes(2)) / 2**16
        self._tick_in(refusal.retry_after or REST_SECONDS + _REST_JITTER_SECONDS * jitter)
        if refusal.gone:
            self._drop()
        held = self._held
        if held is None or not held.usable(self._clock.monotonic_ns()):
            raise refusal.error()
        return held.lease

    def _over(self, check: asyncio.Task[Lease]) -> None:
        self._check = None
        if not check.cancelled():
            check.exception()  # retrieved: nobody may be waiting for a check that the timer began

    def _tick_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._tick)

    def _tick(self) -> None:
        """Keeps a key that is in use confirmed, so that calls need not wait for it."""
        self._timer = None
        if self._used:
            self._used = False
            self._begin_check()

    def _drop_later(self) -> None:
        if self._dropping is not None:
            self._dropping.cancel()
        self._dropping = asyncio.get_running_loop().call_later(self._hold / NS_PER_SECOND, self._drop)

    def _drop(self) -> None:
        self._held = None
        if self._dropping is not None:
            self._dropping.cancel()
            self._dropping = None
