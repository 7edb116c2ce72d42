"""Several keys behind one credential, and where a call may be served.

Knows: a pool's members and their labels. Must not know: which of them are usable now, the keys themselves.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Placement:
    """Where policy wants a call served: by a team's own keys, in a region. None: policy did not say."""

    team: str | None = None
    region: str | None = None


ANYWHERE = Placement()


@dataclass(frozen=True, slots=True)
class Member:
    """One key of a pool: its name in the credential source, its share of the calls, and what is sent with it.

    A key with a `team` serves that team's calls only. `organization` and `project` are OpenAI's identifiers;
    None leaves the choice to the key.
    """

    key: str
    weight: int = 1
    organization: str | None = None
    project: str | None = None
    team: str | None = None
    region: str | None = None


@dataclass(frozen=True, slots=True)
class Pool:
    """What a credential named by policy stands for. It has at least one member."""

    credential: str
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class PoolStats:
    """How many keys of one credential are usable, in cooldown for some model, quarantined."""

    credential: str
    usable: int
    cooldown: int
    quarantined: int


def fits(member: Member, placement: Placement) -> bool:
    """Whether a call that is placed so may be served by this member. A team's key is for that team alone, so
    a call of no team has no part in it; a region binds only the calls that policy pins to one.

    >>> fits(Member("a", team="claims", region="eu"), Placement(team="claims"))
    True
    >>> fits(Member("a", team="claims"), Placement()), fits(Member("a"), Placement(region="eu"))
    (False, False)
    """
    return member.team == placement.team and placement.region in (None, member.region)
