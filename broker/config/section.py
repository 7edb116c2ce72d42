"""What every section is: frozen, without unknown keys; and one of which some settings are not known.

Knows: pydantic. Must not know: any setting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict


class UnknownValueError(AttributeError):
    """A setting was asked for whose value is itself wrong, or missing."""


class Section(BaseModel):
    """One table of the TOML file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    if not TYPE_CHECKING:  # a type checker shall go on to find settings that do not exist

        def __getattr__(self, name: str) -> Any:
            """Asked only for what is not there: in a section that was wrong, see `judging`."""
            if name in type(self).model_fields:
                raise UnknownValueError(name)
            return super().__getattr__(name)
