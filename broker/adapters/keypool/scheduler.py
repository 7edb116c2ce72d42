"""One pool at work: who fits a call, whose turn it is, and why nobody can serve.

Knows: members, their health, turns. Must not know: credential sources and keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from broker.adapters.keypool.key_health import KeyHealth
from broker.adapters.keypool.round_robin import WeightedRoundRobin
from broker.errors import BrokerError, Kind, store_unavailable
from broker.model.pool import Member, Placement, Pool, PoolStats, fits
from broker.model.units import NS_PER_SECOND

RETRY_SECONDS = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class PoolMember:
    """A member and how its key stands."""

    member: Member
    health: KeyHealth


class PoolScheduler:
    """The members of one pool, in turns of their own for each placement that some of them fit."""

    def __init__(self, pool: Pool, healths: Mapping[str, KeyHealth]) -> None:
        self.credential = pool.credential
        self.entries = tuple(PoolMember(member, healths[member.key]) for member in pool.members)
        self._rounds: dict[Placement, tuple[tuple[PoolMember, ...], WeightedRoundRobin]] = {}

    def next(
        self, placement: Placement, model: str | None, now: int, tried: Set[PoolMember]
    ) -> tuple[PoolMember, bool]:
        """The entry whose turn it is, and whether it is the only one that could serve; `tried` are entries
        that the call has had no key from. Raises BrokerError where none is left: see ports.KeyPool.
        """
        entries, rotation = self._rounds.get(placement) or self._fitting(placement)
        usable = [
            place
            for place, entry in enumerate(entries)
            if entry.health.usable(model, now) and entry.health.unfunded_until <= now and entry not in tried
        ] or _without_money(entries, model, now, tried)
        if not usable:
            raise self._nobody(entries, model, now)
        near = [place for place in usable if entries[place].health.away_until <= now]
        return entries[rotation.next(near or usable)], len(usable) == 1

    def stats(self, now: int) -> PoolStats:
        """How its keys stand now."""
        healths = [entry.health for entry in self.entries]
        served = [health for health in healths if health.refused is None]
        funded = [health for health in served if health.unfunded_until <= now]
        cooldown = sum(health.is_cooling(now) for health in funded)
        quarantined, unfunded = len(healths) - len(served), len(served) - len(funded)
        return PoolStats(self.credential, len(funded) - cooldown, cooldown, quarantined, unfunded)

    def _fitting(self, placement: Placement) -> tuple[tuple[PoolMember, ...], WeightedRoundRobin]:
        """Kept only where somebody fits: a policy that makes names up does not fill the memory."""
        entries = tuple(entry for entry in self.entries if fits(entry.member, placement))
        if not entries:
            raise store_unavailable(
                f"No key of the pool {self.credential!r} may serve a call {_named(placement)}.",
                "The operator must add such a member to the pool, or correct the grant's placement.",
                RETRY_SECONDS,
            )
        return self._rounds.setdefault(
            placement, (entries, WeightedRoundRobin([entry.member.weight for entry in entries]))
        )

    def _nobody(self, entries: tuple[PoolMember, ...], model: str | None, now: int) -> BrokerError:
        """A cooldown ends by itself, quarantine does not."""
        ends = [entry.health.cooling_until(model) for entry in entries if entry.health.refused is None]
        wait = min((end - now for end in ends if end > now), default=0)
        if wait:
            return BrokerError(
                Kind.UPSTREAM_RATE_LIMITED,
                f"Every key that the pool {self.credential!r} has for this call is in cooldown after a 429.",
                remedy="Try again after `retry-after`; where it happens often, the pool needs more keys.",
                retry_after=wait / NS_PER_SECOND,
            )
        return store_unavailable(
            f"Every key that the pool {self.credential!r} has for this call is quarantined or cannot be had.",
            "The operator must rotate them: `broker keys rotate` with the names that the log gives.",
            RETRY_SECONDS,
        )


def _without_money(
    entries: Sequence[PoolMember], model: str | None, now: int, tried: Set[PoolMember]
) -> list[int]:
    """Which of them can be asked although their money was used up a moment ago: none where a key with money
    is back in a while, else all, for only upstream knows when its limit was raised.
    """
    left = [
        place for place, entry in enumerate(entries) if entry.health.refused is None and entry not in tried
    ]
    if any(entries[place].health.unfunded_until <= now for place in left):
        return []
    return [place for place in left if entries[place].health.usable(model, now)]


def _named(placement: Placement) -> str:
    """In words; the names are policy's, not the caller's.

    >>> _named(Placement("claims", "eu")), _named(Placement())
    ("with team 'claims' and region 'eu'", 'with no team')
    """
    parts = [f"team {placement.team!r}" if placement.team else "no team"]
    if placement.region:
        parts.append(f"region {placement.region!r}")
    return f"with {' and '.join(parts)}"
