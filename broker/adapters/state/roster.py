"""Which machines there are, which of them are away, and what those last held.

Knows: when a machine counts as away, and what must be in the store before anybody may reserve. Must not know:
scripts, files, when it is asked. Pure: the time comes in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from broker.adapters.state.scripts import StoreState
from broker.model.charge import Taken

AWAY_SECONDS = 5.0
"""A machine that was not heard of for so long is away; it refuses by then, or has heard that it must."""
LEFT = 0
"""The beat of a machine that has ended in order."""


@dataclass(frozen=True, slots=True)
class KnownMachine:
    """A machine, its last term, and what it held when it went away; None: it was not seen going."""

    term: int
    held: tuple[Taken, ...] | None = None


@dataclass(frozen=True, slots=True)
class Readiness:
    """What must be true before reservations are let in: these have told what they hold, and the parts of
    those that are away are there. `lost` are away with a part that nobody has; `awaited` live, and are late.
    """

    ready: tuple[str, ...]
    away: tuple[str, ...]
    restored: tuple[str, ...]
    lost: tuple[str, ...]
    awaited: tuple[str, ...]


class Roster:
    """As this machine knows it."""

    def __init__(self, machine: str, known: Mapping[str, KnownMachine]) -> None:
        self._machine = machine
        self._known = dict(known)
        self._beats: dict[str, int] = {}
        self._heard: dict[str, float] = {}

    @property
    def known(self) -> Mapping[str, KnownMachine]:
        """The other machines, as they are to be remembered."""
        return self._known

    def look_anew(self) -> None:
        """Nobody was looking for a while: no machine is away because it was not heard of meanwhile."""
        self._heard.clear()

    def observe(self, state: StoreState, now: float) -> None:
        """What the store tells at this time."""
        for machine in {*state.terms, *state.beats, *self._known} - {self._machine}:
            beat, before = state.beats.get(machine), self._beats.get(machine)
            moved = beat is not None and beat != before
            if moved or machine not in self._heard:
                self._heard[machine] = now
            if moved and before is not None and beat != LEFT:
                self._returned(machine)
            if beat is not None:
                self._beats[machine] = beat
            if machine in state.terms and machine not in self._known:
                self._known[machine] = KnownMachine(state.terms[machine])

    def unseen(self, state: StoreState, now: float) -> Mapping[str, int]:
        """The machines that are away and whose part, of this term, should be looked at before it is lost."""
        return {
            machine: term
            for machine, term in state.terms.items()
            if machine != self._machine and self._is_away(machine, now) and self._unseen(machine, term)
        }

    def saw(self, machine: str, term: int, held: tuple[Taken, ...]) -> None:
        """What a machine that is away holds."""
        self._known[machine] = KnownMachine(term, held)

    def readiness(self, state: StoreState, incarnation: str, now: float) -> Readiness:
        """What must be true in this incarnation of the server."""
        parts: dict[str, list[str]] = {name: [] for name in Readiness.__slots__}
        for machine in sorted({self._machine, *state.terms, *self._known}):
            parts[self._part(machine, state, incarnation, now)].append(machine)
        return Readiness(**{name: tuple(machines) for name, machines in parts.items()})

    def _part(self, machine: str, state: StoreState, incarnation: str, now: float) -> str:
        if state.ready.get(machine) == incarnation:
            return "ready"
        if not self._is_away(machine, now):
            return "awaited"
        if machine in state.terms:
            return "away"
        return "lost" if self._known[machine].held is None else "restored"

    def _is_away(self, machine: str, now: float) -> bool:
        if machine == self._machine:
            return False
        return self._beats.get(machine) == LEFT or now - self._heard.get(machine, now) > AWAY_SECONDS

    def _unseen(self, machine: str, term: int) -> bool:
        known = self._known.get(machine)
        return known is None or known.held is None or known.term != term

    def _returned(self, machine: str) -> None:
        if (known := self._known.get(machine)) is not None:
            self._known[machine] = KnownMachine(known.term)
