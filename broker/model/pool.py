"""Several keys behind one credential, and where a call may be served.

Knows: a pool's members and their labels. Must not know: which of them are usable now, the keys themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


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


class KeyNews(NamedTuple):
    """What upstream has said of one version of a key that is in pools: it is in cooldown for a model, for so
    many seconds (None: upstream did not say), or, where `refused`, quarantined.
    """

    key: str
    key_ref: str
    key_version: int
    refused: bool
    model: str | None = None
    seconds: float | None = None
