"""What every section is: frozen, without unknown keys.

Knows: pydantic. Must not know: any setting.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One table of the TOML file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
