"""One pool at work: who fits a call, whose turn it is, and why nobody can serve.

Knows: members, their standing, turns. Must not know: key vaults and keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

from broker.adapters.keypool.standing import Standing
from broker.errors import BrokerError, Kind
from broker.model.pool import Census, Member, Placement, Pool
from broker.model.units import NS_PER_SECOND
from broker.selection import Turns, fits

RETRY_SECONDS = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Seat:
    """A member and how its key stands."""

    member: Member
    standing: Standing


class Bench:
    """The members of one pool, in turns of their own for each placement that some of them fit."""

    def __init__(self, pool: Pool, standings: Mapping[str, Standing]) -> None:
        self.credential = pool.credential
        self.seats = tuple(Seat(member, standings[member.key]) for member in pool.members)
        self._rounds: dict[Placement, tuple[tuple[Seat, ...], Turns]] = {}

    def next(self, placement: Placement, model: str | None, now: int, tried: Set[Seat]) -> tuple[Seat, bool]:
        """The seat whose turn it is, and whether it is the only one that could serve; `tried` are seats that
        the call has had no key from. Raises BrokerError where none is left: see ports.KeyPool.
        """
        seats, turns = self._rounds.get(placement) or self._fitting(placement)
        usable = [
            place
            for place, seat in enumerate(seats)
            if seat.standing.usable(model, now) and seat not in tried
        ]
        if not usable:
            raise self._nobody(seats, model, now)
        near = [place for place in usable if seats[place].standing.away_until <= now]
        return seats[turns.next(near or usable)], len(usable) == 1

    def census(self, now: int) -> Census:
        """How its keys stand now."""
        quarantined = sum(seat.standing.refused is not None for seat in self.seats)
        resting = sum(seat.standing.refused is None and seat.standing.rests(now) for seat in self.seats)
        return Census(self.credential, len(self.seats) - resting - quarantined, resting, quarantined)

    def _fitting(self, placement: Placement) -> tuple[tuple[Seat, ...], Turns]:
        """Kept only where somebody fits: a policy that makes names up does not fill the memory."""
        seats = tuple(seat for seat in self.seats if fits(seat.member, placement))
        if not seats:
            raise BrokerError(
                Kind.CREDENTIAL_STORE_UNAVAILABLE,
                f"No key of the pool {self.credential!r} may serve a call {_named(placement)}.",
                remedy="The operator must add such a member to the pool, or correct the grant's placement.",
                retry_after=RETRY_SECONDS,
            )
        return self._rounds.setdefault(placement, (seats, Turns([seat.member.weight for seat in seats])))

    def _nobody(self, seats: tuple[Seat, ...], model: str | None, now: int) -> BrokerError:
        """Rest ends by itself, quarantine does not."""
        ends = [seat.standing.rests_until(model) for seat in seats if seat.standing.refused is None]
        wait = min((end - now for end in ends if end > now), default=0)
        if wait:
            return BrokerError(
                Kind.UPSTREAM_RATE_LIMITED,
                f"Every key that the pool {self.credential!r} has for this call rests after a 429.",
                remedy="Try again after `retry-after`; where it happens often, the pool needs more keys.",
                retry_after=wait / NS_PER_SECOND,
            )
        return BrokerError(
            Kind.CREDENTIAL_STORE_UNAVAILABLE,
            f"Every key that the pool {self.credential!r} has for this call is quarantined or cannot be had.",
            remedy="The operator must rotate them: `broker keys rotate` with the names that the log gives.",
            retry_after=RETRY_SECONDS,
        )


def _named(placement: Placement) -> str:
    """In words; the names are policy's, not the caller's.

    >>> _named(Placement("claims", "eu")), _named(Placement())
    ("with team 'claims' and region 'eu'", 'with no team')
    """
    parts = [f"team {placement.team!r}" if placement.team else "no team"]
    if placement.region:
        parts.append(f"region {placement.region!r}")
    return f"with {' and '.join(parts)}"
