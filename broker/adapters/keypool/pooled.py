"""The KeyPool port over a KeyVault.

Knows: which pool a credential names, and how a lease of the vault becomes one of the pool. Must not know: why
upstream turned a key down, what is in the log about it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

from broker.adapters.keypool.bench import RETRY_SECONDS, Bench, Seat
from broker.adapters.keypool.quarantine import Quarantine
from broker.adapters.keypool.standing import Standing, Version
from broker.errors import BrokerError, Kind
from broker.model.pool import ANYWHERE, Census, Placement, Pool
from broker.model.secret import Lease
from broker.model.units import NS_PER_SECOND
from broker.ports import Clock, KeyVault, Ledger

_AWAY_NS = 1 * NS_PER_SECOND
_REPLACE_EVERY_NS = 60 * NS_PER_SECOND
_FURTHER_SECONDS = 0.08
_LONGEST_NS = 2_020_000_000
"""A vault has two seconds to say no; a call that it said no to is answered within a tenth more."""


class PooledKeys:
    """Implements ports.KeyPool. Belongs to one event loop. Holds no key: each lease asks the vault.

    A credential that no pool is named after is the one key of that name, at the cost of a dictionary look-up.
    It has nothing to turn to, so it neither rests nor is it quarantined: it is told of, and used on.
    """

    def __init__(
        self,
        vault: KeyVault,
        pools: Iterable[Pool],
        clock: Clock,
        ledger: Ledger,
        replace: Callable[[str], None] = lambda _name: None,
    ) -> None:
        """`replace` has the vault's key of this name issued anew, where it is one that can be; at most once a
        minute each, or an upstream that refuses whatever it is given would have one made for every call.
        """
        pools = tuple(pools)
        self._replace = replace
        self._replaced: dict[str, int] = {}
        self._vault = vault
        self._clock = clock
        self._standings = {member.key: Standing(member.key) for pool in pools for member in pool.members}
        self._benches = {pool.credential: Bench(pool, self._standings) for pool in pools}
        self._quarantine = Quarantine(vault, clock, ledger)

    def lease(self, credential: str, placement: Placement, model: str | None) -> Awaitable[Lease]:
        """See ports.KeyPool."""
        bench = self._benches.get(credential)
        if bench is not None:
            return self._pooled(bench, placement, model)
        if placement is not ANYWHERE and placement != ANYWHERE:
            raise _unlabelled(credential)
        return self._vault.lease(credential)

    def quarantine(self, credential: str, lease: Lease, code: str) -> None:
        """See ports.KeyPool."""
        version = Version(lease.key_ref, lease.key_version)
        if lease.member is None:
            if self._quarantine.report(version, code):
                self._have_replaced(credential)
            return
        standing = self._standings[lease.member]
        if standing.current == version and standing.refused != version:
            self._quarantine.take(standing, version, code)
            self._have_replaced(lease.member)

    def rest(self, lease: Lease, model: str | None, seconds: float | None) -> None:
        """See ports.KeyPool."""
        standing = self._standings[lease.member] if lease.member is not None else None
        if standing is not None and standing.current == Version(lease.key_ref, lease.key_version):
            standing.rest(model, seconds, self._clock.monotonic_ns())

    def census(self) -> tuple[Census, ...]:
        """How the keys of every pool stand now."""
        now = self._clock.monotonic_ns()
        return tuple(bench.census(now) for bench in self._benches.values())

    def problem(self) -> str:
        """Which pools have no key left, or an empty string."""
        spent = [census.credential for census in self.census() if not census.usable + census.resting]
        return f"every key is quarantined: {', '.join(spent)}" if spent else ""

    def _have_replaced(self, name: str) -> None:
        now = self._clock.monotonic_ns()
        if now - self._replaced.get(name, -_REPLACE_EVERY_NS) >= _REPLACE_EVERY_NS:
            self._replaced[name] = now
            self._replace(name)

    async def aclose(self) -> None:
        """Stops watching the quarantined keys; what is to be recorded of them is recorded first."""
        await self._quarantine.aclose()

    async def _pooled(self, bench: Bench, placement: Placement, model: str | None) -> Lease:
        """The lease of the next key that the vault gives. Where it gives none, its first refusal stands."""
        begun = self._clock.monotonic_ns()
        seat, alone = bench.next(placement, model, begun, frozenset())
        try:
            return _labelled(await self._vault.lease(seat.member.key), seat, alone=alone)
        except BrokerError as refusal:
            lease = await self._another(bench, placement, model, begun, {self._away(seat)})
            if lease is None:
                raise refusal from None
            return lease

    async def _another(
        self, bench: Bench, placement: Placement, model: str | None, begun: int, tried: set[Seat]
    ) -> Lease | None:
        """The lease of another key that the vault gives at once: no call waits twice for a slow store."""
        while (now := self._clock.monotonic_ns()) - begun <= _LONGEST_NS:
            try:
                seat, alone = bench.next(placement, model, now, tried)
            except BrokerError:
                return None
            with suppress(BrokerError, TimeoutError):
                async with asyncio.timeout(_FURTHER_SECONDS):
                    return _labelled(await self._vault.lease(seat.member.key), seat, alone=alone)
            tried.add(self._away(seat))
        return None

    def _away(self, seat: Seat) -> Seat:
        """The vault did not give this one: for a while, others are asked first."""
        seat.standing.away_until = self._clock.monotonic_ns() + _AWAY_NS
        return seat


def _labelled(lease: Lease, seat: Seat, *, alone: bool) -> Lease:
    member, standing = seat.member, seat.standing
    current = standing.current
    if current is None or current.number != lease.key_version or current.key_ref != lease.key_ref:
        standing.current = Version(lease.key_ref, lease.key_version)
    return Lease(
        lease.key_ref,
        lease.key_version,
        lease.secret,
        member.organization,
        member.project,
        member.region,
        member.key,
        alone,
    )


def _unlabelled(credential: str) -> BrokerError:
    return BrokerError(
        Kind.CREDENTIAL_STORE_UNAVAILABLE,
        f"Policy places the call, and the credential {credential!r} is one key of no team and no region.",
        remedy=f"The operator must make it a pool, [pools.{credential}], or correct the grant's placement.",
        retry_after=RETRY_SECONDS,
    )
