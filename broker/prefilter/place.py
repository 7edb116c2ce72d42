"""Where strings come in a stream's events, and what is known of what came there.

Knows: which members say what an object is, and which strings nobody joins. Must not know: rules, filters.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from broker.model.finding import Path
from broker.prefilter.escapes import Unescaping

NAMES = frozenset(
    """
    id object type role model status finish_reason stop_reason service_tier system_fingerprint obfuscation
    item_id response_id call_id tool_call_id approval_request_id previous_response_id prompt_cache_key
    """.split()  # noqa: SIM905 - read as a list of words, not as quoted ones
)
SHOWING = (
    ".created", ".queued", ".in_progress", ".searching", ".generating", ".interpreting", ".compacting",
    ".added", ".partial_image", ".done", ".completed", ".failed", ".incomplete", ".cancelled",
)  # fmt: skip


class TooManyPlacesError(Exception):
    """One event, or all that is held, names more places than a reply has."""


@dataclass(eq=False, slots=True)
class Place:
    """Where strings come. Of all that came, `fed` characters, the first `free` may leave."""

    owner: Place | None
    step: str | int | None
    named: bool = False
    fed: int = 0
    free: int = 0
    last: str | None = None  # the string that came last, where another like it says nothing new
    inside: dict[str | int, Place] = field(default_factory=dict)
    names: Place | None = None  # where its members' names come, once one ended like the beginning of a secret
    telling: tuple[str, ...] = ()  # the members that say which one it is, and the places of each
    each: dict[tuple[object, ...], Place] = field(default_factory=dict)
    tail: str = ""  # of a name in a delta: the end of all that came, for a client adds them up, too
    after: Place | None = (
        None  # the same text behind what another place held, as who prints each delta sees it
    )
    plain: Place | None = None  # the same text without its escapes, once there were some
    escapes: Unescaping | None = None

    @property
    def path(self) -> Path:
        """Where it is, from the outside in."""
        steps = () if self.step is None else (self.step,)
        return (*self.owner.path, *steps) if self.owner is not None else steps

    @property
    def end(self) -> int:
        """How much must be free before all that has come may leave: an escape that has begun is one more."""
        return self.fed + (self.escapes is not None and self.escapes.pending)


Needs = list[tuple[Place, int]]
"""What an event waits for: at each place, how much must be free."""


def leading(place: Place | None) -> list[Place]:
    found = []
    while place is not None:
        found.append(place)
        place = place.owner
    return found


def tells(name: str) -> bool:
    """Whether an object says by this member which one of many it is about."""
    return name == "item_id" or name.endswith("_index")


def shows(kind: str) -> bool:
    return kind == "error" or (kind.startswith("response.") and kind.endswith(SHOWING))
