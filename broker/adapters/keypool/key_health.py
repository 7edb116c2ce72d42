"""How one key of the pools stands: what upstream last said of it, and for how long that counts.

Knows: versions, models, monotonic nanoseconds. Must not know: pools, or the key itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from broker.model.units import NS_PER_SECOND

_MODELS = 256
DEFAULT_COOLDOWN_SECONDS = 5.0
"""A 429 that does not say how long."""
LEAST_COOLDOWN_SECONDS = 0.1
"""A 429 that says "at once": the call that got it turns to another key all the same."""
LONGEST_COOLDOWN_SECONDS = 3600.0
"""A 429 that says "in a day": the key is asked again sooner, so that no answer takes it away for good."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of one key, as records may show it."""

    key_ref: str
    number: int


class KeyHealth:
    """One key, in however many pools it is. Belongs to one event loop."""

    __slots__ = ("_cooling", "away_until", "current", "key", "refused", "unfunded_until")

    def __init__(self, key: str) -> None:
        self.key = key
        self.current: Version | None = None
        """The version that was leased last."""
        self.refused: Version | None = None
        """The version that upstream refused: the key is quarantined while it is there."""
        self.away_until = 0
        """The credential source would not give it a moment ago: others are asked first until then."""
        self.unfunded_until = 0
        """Whoever pays for its calls had no money left a moment ago: it is asked last until then."""
        self._cooling: dict[str | None, int] = {}

    def usable(self, model: str | None, now: int) -> bool:
        """Whether a call for this model may have the key. OpenAI limits each model on its own, so that one
        exhausted model takes the key from no other.
        """
        return self.refused is None and (not self._cooling or self._cooling.get(model, 0) <= now)

    def cooling_until(self, model: str | None) -> int:
        return self._cooling.get(model, 0)

    def is_cooling(self, now: int) -> bool:
        """Whether it is in cooldown for any model."""
        return any(until > now for until in self._cooling.values())

    def cool_down(self, model: str | None, seconds: float | None, now: int) -> None:
        """From now on, so long; a later end stands. What is over is forgotten, and so is the earliest end
        where more models are in cooldown than anybody uses.
        """
        asked = DEFAULT_COOLDOWN_SECONDS if seconds is None else seconds
        wanted = min(max(asked, LEAST_COOLDOWN_SECONDS), LONGEST_COOLDOWN_SECONDS)
        until = now + int(wanted * NS_PER_SECOND)
        ends = {name: end for name, end in self._cooling.items() if end > now}
        ends[model] = max(until, ends.get(model, 0))
        if len(ends) > _MODELS:
            del ends[min(ends, key=ends.__getitem__)]
        self._cooling = ends

    def release(self, current: Version) -> None:
        """Another version is there: nothing is known of it, and what is still said of the old one is late."""
        self.refused = None
        self.current = current
        self.unfunded_until = 0
        self._cooling = {}
