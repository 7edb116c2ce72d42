"""What every section is: frozen, without unknown keys; and one of which some settings are not known.

Knows: pydantic. Must not know: any setting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, field_validator

_HALF_RANGE = 2**63


class UnknownValueError(AttributeError):
    """A setting was asked for whose value is itself wrong, or missing."""


class Section(BaseModel):
    """One table of the TOML file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*")
    @classmethod
    def _number(cls, value: Any) -> Any:
        """TOML's integers have 64 bits, which `tomllib` does not hold them to."""
        if isinstance(value, int) and not -_HALF_RANGE <= value < _HALF_RANGE:
            raise ValueError("a number of more than 64 bits")
        return value

    if not TYPE_CHECKING:  # a type checker shall go on to find settings that do not exist

        def __getattr__(self, name: str) -> Any:
            """Asked only for what is not there: in a section that was wrong, see `judging`."""
            if name in type(self).model_fields:
                raise UnknownValueError(name)
            return super().__getattr__(name)
