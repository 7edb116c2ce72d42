"""The settings that environment variables give: `BROKER__SECTION__KEY`.

Knows: how a variable names a place, and which values are JSON. Must not know: any setting.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from broker.config.fields import annotation_at, is_composed
from broker.config.problem import Steps
from broker.config.section import Section

_PREFIX = "broker__"
_BETWEEN = "__"


@dataclass(frozen=True, slots=True)
class Override:
    """A value that wins over the file's; None, and why, where it cannot be read."""

    variable: str
    at: Steps
    value: object
    why_not: str = ""


def overrides(model: type[Section], environment: Mapping[str, str]) -> Iterator[Override]:
    """One for each variable, those of whole sections first. A table or a list is JSON, all else its text."""
    found = [
        (tuple(name.lower().removeprefix(_PREFIX).split(_BETWEEN)), name)
        for name in environment
        if name.lower().startswith(_PREFIX)
    ]
    for at, name in sorted(found, key=lambda each: (len(each[0]), each)):
        yield _override(model, name, at, environment[name])


def _override(model: type[Section], variable: str, at: Steps, text: str) -> Override:
    if not is_composed(annotation_at(model, at)):
        return Override(variable, at, text)
    try:
        return Override(variable, at, json.loads(text))
    except (ValueError, RecursionError):
        return Override(variable, at, None, "not JSON, which a table or a list is here")
