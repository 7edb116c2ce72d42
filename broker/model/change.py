"""What would have to be different for a denied call to be allowed: the counterfactual.

Knows: the kinds of change a policy can name. Must not know: what a policy is, or how a caller is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Must(StrEnum):
    """How a field must be for the call to be allowed."""

    AT_MOST = "at_most"
    ONE_OF = "one_of"
    ABSENT = "absent"
    PRESENT = "present"
    DURING = "during"


@dataclass(frozen=True, slots=True)
class Change:
    """One field and how it must be. `values` are the bound, the choices, the rules that must find nothing, or
    the times; empty where the field itself is meant. All changes of a denial together are enough; none of
    them can be left out.
    """

    field: str
    must: Must
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        """As a caller reads it.

        >>> str(Change("max_tokens", Must.AT_MOST, ("1024",))), str(Change("logit_bias", Must.ABSENT))
        ('max_tokens ≤ 1024', 'no logit_bias')
        >>> str(Change("model", Must.ONE_OF, ("gpt-4o", "gpt-4o-mini")))
        'model: gpt-4o or gpt-4o-mini'
        """
        values = " or ".join(self.values)
        match self.must:
            case Must.AT_MOST:
                return f"{self.field} ≤ {values}"
            case Must.ONE_OF:
                return f"{self.field}: {values}"
            case Must.ABSENT:
                return f"{self.field} without {' and '.join(self.values)}" if values else f"no {self.field}"
            case Must.PRESENT:
                return f"a {self.field}"
            case Must.DURING:
                return f"{self.field} during {values}"
