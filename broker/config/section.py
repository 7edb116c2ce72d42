"""What every section is: frozen, without unknown keys; and the one error of a configuration.

Knows: pydantic. Must not know: any setting.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class ConfigError(ValueError):
    """The configuration cannot be used; the message names each key, what is wrong and what to try."""


class Section(BaseModel):
    """One table of the TOML file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
