"""Several keys behind one credential, and where a call may be served.

Knows: a pool's members and their labels. Must not know: which of them are usable now, the keys themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from broker.model.secret import Lease


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


class Payer(Enum):
    """Whose money pays for a key's calls."""

    KEY = "key"
    """Nobody says; of other keys nothing is known."""
    PROJECT = "project"
    ORGANIZATION = "organization"


class SpentMoney(NamedTuple):
    """Upstream's word that no money is left, and whose that is."""

    code: str
    payer: Payer


@dataclass(frozen=True, slots=True)
class PoolStats:
    """How many keys of one credential are usable, in cooldown for some model, quarantined, without money."""

    credential: str
    usable: int
    cooldown: int
    quarantined: int
    unfunded: int = 0


def fits(member: Member, placement: Placement) -> bool:
    """Whether a call that is placed so may be served by this member. A team's key is for that team alone, so
    a call of no team has no part in it; a region binds only the calls that policy pins to one.

    >>> fits(Member("a", team="claims", region="eu"), Placement(team="claims"))
    True
    >>> fits(Member("a", team="claims"), Placement()), fits(Member("a"), Placement(region="eu"))
    (False, False)
    """
    return member.team == placement.team and placement.region in (None, member.region)


def paid_alike(member: Member, lease: Lease, payer: Payer) -> bool:
    """Whether the payer of the leased key's calls pays for this member's, too, as far as their labels say.

    >>> from broker.model.secret import Secret
    >>> leased = Lease("a", 1, Secret("sk"), organization="org-x", project="proj_a")
    >>> paid_alike(Member("b", project="proj_a"), leased, Payer.PROJECT)
    True
    >>> paid_alike(Member("b", project="proj_a"), leased, Payer.ORGANIZATION)
    False
    """
    if payer is Payer.PROJECT:
        return lease.project is not None and member.project == lease.project
    return payer is Payer.ORGANIZATION and (
        lease.organization is not None and member.organization == lease.organization
    )


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
