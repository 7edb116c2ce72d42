"""Settings of key pools: the keys behind one credential, their shares, and where each may serve.

Knows: names, defaults, limits. Must not know: how a key is chosen.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from broker.config.section import Section
from broker.model.pool import Member, Pool

_KEY = r"^[a-z0-9][a-z0-9._-]{0,62}$"  # what key stores accept as a name
_IDENTIFIER = r"^[A-Za-z0-9_-]{1,128}$"
_LABEL = r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$"

Credential = Annotated[str, StringConstraints(pattern=_KEY)]


class MemberSettings(Section):
    """One key of a pool."""

    key: str = Field(pattern=_KEY, description="the key's name in the key store")
    weight: int = Field(1, ge=1, le=1000, description="its share of the calls, against the other members'")
    organization: str | None = Field(
        None, pattern=_IDENTIFIER, description="sent as OpenAI-Organization; absent: the key's own"
    )
    project: str | None = Field(
        None, pattern=_IDENTIFIER, description="sent as OpenAI-Project; absent: the key's own"
    )
    team: str | None = Field(
        None, pattern=_LABEL, description="serves the calls that policy places with this team, and no others"
    )
    region: str | None = Field(
        None, pattern=_LABEL, description="where it serves: a call that policy pins to a region needs it"
    )


class PoolSettings(Section):
    """The keys that one credential of the policies stands for."""

    members: tuple[MemberSettings, ...] = Field(min_length=1, description="one table for each key")

    def pool(self, credential: str) -> Pool:
        """The pool of this credential."""
        return Pool(credential, tuple(Member(**member.model_dump()) for member in self.members))
