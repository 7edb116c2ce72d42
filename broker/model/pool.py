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
    """One key of a pool: its name in the key vault, its share of the calls, and what is sent with it.

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
class Census:
    """How many keys of one credential are usable, resting for some model, quarantined."""

    credential: str
    usable: int
    resting: int
    quarantined: int
