"""How much a call may reach so that its words can be tried on the patterns of `reaches` in a moment.

Knows: where roles have their patterns, and documents their words. Must not know: rules, engines. A word costs
the engine some 10 microseconds a pattern, several times in a denial, and more where it has several stars; and
a call may reach as much as fits into a body.
"""

from __future__ import annotations

from collections.abc import Mapping

MOST_TRIES = 192
"""Words of a call × patterns of a role."""


def most_words(base: Mapping[str, object]) -> int:
    """What a call may reach under the data of a policy: fewer, the more patterns its largest role has."""
    roles = _object(base.get("roles"))
    patterns = [_object(_object(role).get("reaches")).get("patterns") for role in roles.values()]
    return MOST_TRIES // max([1, *(len(each) for each in patterns if isinstance(each, list))])


def words(document: Mapping[str, object]) -> int:
    """How much the call of an input document reaches."""
    reached = _object(document.get("call")).get("reaches")
    return len(reached) if isinstance(reached, list) else 0


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
