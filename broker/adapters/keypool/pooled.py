"""The KeyPool port over a CredentialSource.

Knows: which pool a credential names, and how a lease of the source becomes one of the pool. Must not know:
why upstream turned a key down, what is in the log about it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

from broker.adapters.keypool.key_health import KeyHealth, Version
from broker.adapters.keypool.quarantine import Quarantine
from broker.adapters.keypool.scheduler import RETRY_SECONDS, PoolMember, PoolScheduler
from broker.adapters.keypool.spent import SpentKeys
from broker.errors import BrokerError, store_unavailable
from broker.model.pool import ANYWHERE, KeyNews, Placement, Pool, PoolStats, SpentMoney
from broker.model.secret import Lease
from broker.model.units import NS_PER_SECOND
from broker.ports import Clock, CredentialSource, Ledger

_AWAY_NS = 1 * NS_PER_SECOND
_REPLACE_EVERY_NS = 60 * NS_PER_SECOND
_FURTHER_SECONDS = 0.08
_LONGEST_NS = 2_020_000_000
"""A source has two seconds to say no; a call that it said no to is answered within a tenth more."""


class PooledKeys:
    """Implements ports.KeyPool. Belongs to one event loop. Holds no key: each lease asks the source.

    A credential that no pool is named after is the one key of that name, at the cost of a dictionary look-up.
    It has nothing to turn to, so it has neither cooldown nor quarantine: it is told of, and used on.
    """

    def __init__(
        self,
        source: CredentialSource,
        pools: Iterable[Pool],
        clock: Clock,
        ledger: Ledger,
        replace: Callable[[str], None] = lambda _name: None,
        tell: Callable[[KeyNews], None] = lambda _news: None,
    ) -> None:
        """`replace` has the source's key of this name issued anew, where it is one that can be; at most once
        a minute each, or an upstream that refuses whatever it is given would have one made for every call.
        `tell` gets what other processes of this broker are to `hear`.
        """
        pools = tuple(pools)
        self._replace = replace
        self._tell = tell
        self._replaced: dict[str, int] = {}
        self._source = source
        self._clock = clock
        self._healths = {member.key: KeyHealth(member.key) for pool in pools for member in pool.members}
        self._schedulers = {pool.credential: PoolScheduler(pool, self._healths) for pool in pools}
        self._quarantine = Quarantine(source, clock, ledger)
        members = (entry for scheduler in self._schedulers.values() for entry in scheduler.entries)
        self._spent = SpentKeys(members, self._healths, clock)

    def lease(self, credential: str, placement: Placement, model: str | None) -> Awaitable[Lease]:
        """See ports.KeyPool."""
        scheduler = self._schedulers.get(credential)
        if scheduler is not None:
            return self._pooled(scheduler, placement, model)
        if placement is not ANYWHERE and placement != ANYWHERE:
            raise _unlabelled(credential)
        return self._source.lease(credential)

    def quarantine(self, credential: str, lease: Lease, code: str) -> None:
        """See ports.KeyPool."""
        version = Version(lease.key_ref, lease.key_version)
        if lease.member is None:
            if self._quarantine.report(version, code):
                self._have_replaced(credential)
            return
        health = self._healths[lease.member]
        if health.current == version and health.refused != version:
            self._quarantine.take(health, version, code)
            self._tell(KeyNews(health.key, version.key_ref, version.number, refused=True))
            self._have_replaced(lease.member)

    def cool_down(self, lease: Lease, model: str | None, seconds: float | None) -> None:
        """See ports.KeyPool."""
        health = self._healths[lease.member] if lease.member is not None else None
        if health is not None and health.current == Version(lease.key_ref, lease.key_version):
            health.cool_down(model, seconds, self._clock.monotonic_ns())
            news = KeyNews(health.key, lease.key_ref, lease.key_version, False, model, seconds)
            self._tell(news)

    def unfund(self, lease: Lease, spent: SpentMoney) -> None:
        """See ports.KeyPool. Other processes of this broker find out by themselves."""
        current = None if lease.member is None else self._healths[lease.member].current
        if lease.member is None or current == Version(lease.key_ref, lease.key_version):
            self._spent.note(lease, spent)

    def hear(self, news: KeyNews) -> None:
        """Another process of this broker was told so by upstream: it has recorded it, where that is due."""
        health, version = self._healths.get(news.key), Version(news.key_ref, news.key_version)
        if health is None:
            return
        if health.current is None:
            health.current = version
        if health.current != version or health.refused == version:
            return
        if news.refused:
            self._quarantine.hold(health, version)
        else:
            health.cool_down(news.model, news.seconds, self._clock.monotonic_ns())

    def stats(self) -> tuple[PoolStats, ...]:
        """How the keys of every pool stand now."""
        now = self._clock.monotonic_ns()
        return tuple(scheduler.stats(now) for scheduler in self._schedulers.values())

    def problem(self) -> str:
        """Which pools have no key left, or none with money, or an empty string."""
        stats = [each for each in self.stats() if not each.usable + each.cooldown]
        refused = ", ".join(each.credential for each in stats if not each.unfunded)
        spent = ", ".join(each.credential for each in stats if each.unfunded)
        told = (
            f"every key is quarantined: {refused}" if refused else "",
            f"OpenAI has no money left for any key: {spent}" if spent else "",
        )
        return "; ".join(filter(None, told))

    def _have_replaced(self, name: str) -> None:
        now = self._clock.monotonic_ns()
        if now - self._replaced.get(name, -_REPLACE_EVERY_NS) >= _REPLACE_EVERY_NS:
            self._replaced[name] = now
            self._replace(name)

    async def aclose(self) -> None:
        """Stops watching the quarantined keys; what is to be recorded of them is recorded first."""
        await self._quarantine.aclose()

    async def _pooled(self, scheduler: PoolScheduler, placement: Placement, model: str | None) -> Lease:
        """The lease of the next key that the source gives. Where it gives none, its first refusal stands."""
        begun = self._clock.monotonic_ns()
        entry, is_only_key = scheduler.next(placement, model, begun, frozenset())
        try:
            return _labelled(await self._source.lease(entry.member.key), entry, is_only_key=is_only_key)
        except BrokerError as refusal:
            lease = await self._another(scheduler, placement, model, begun, {self._away(entry)})
            if lease is None:
                raise refusal from None
            return lease

    async def _another(
        self,
        scheduler: PoolScheduler,
        placement: Placement,
        model: str | None,
        begun: int,
        tried: set[PoolMember],
    ) -> Lease | None:
        """The lease of another key that the source gives at once: no call waits twice for a slow store."""
        while (now := self._clock.monotonic_ns()) - begun <= _LONGEST_NS:
            try:
                entry, is_only_key = scheduler.next(placement, model, now, tried)
            except BrokerError:
                return None
            with suppress(BrokerError, TimeoutError):
                async with asyncio.timeout(_FURTHER_SECONDS):
                    return _labelled(
                        await self._source.lease(entry.member.key), entry, is_only_key=is_only_key
                    )
            tried.add(self._away(entry))
        return None

    def _away(self, entry: PoolMember) -> PoolMember:
        """The source did not give this one: for a while, others are asked first."""
        entry.health.away_until = self._clock.monotonic_ns() + _AWAY_NS
        return entry


def _labelled(lease: Lease, entry: PoolMember, *, is_only_key: bool) -> Lease:
    member, health = entry.member, entry.health
    current = health.current
    if current is None or current.number != lease.key_version or current.key_ref != lease.key_ref:
        health.current = Version(lease.key_ref, lease.key_version)
    return Lease(
        lease.key_ref,
        lease.key_version,
        lease.secret,
        member.organization,
        member.project,
        member.region,
        member.key,
        is_only_key,
    )


def _unlabelled(credential: str) -> BrokerError:
    return store_unavailable(
        f"Policy places the call, and the credential {credential!r} is one key of no team and no region.",
        f"The operator must make it a pool, [pools.{credential}], or correct the grant's placement.",
        RETRY_SECONDS,
    )
