"""The names of what a deployment keeps in the store, and how long. deploy/README.md shows them to operators.

Knows names. Must not know scripts, connections, or who asks.
"""

from __future__ import annotations

from dataclasses import dataclass

from broker.budget.limits import FORGIVEN_SECONDS
from broker.model.charge import UNITS, Taken, Window

HELD = 0
"""In place of when a window expires that calls hold."""
HELD_SECONDS = 604_800
"""After so long without a call that takes it, nobody holds it any more."""


@dataclass(frozen=True, slots=True)
class Keyspace:
    """Of the deployment of this name."""

    deployment: str

    @property
    def epoch(self) -> str:
        """The incarnation of the server in which all machines have said what they hold."""
        return self._named("epoch")

    @property
    def ready(self) -> str:
        """Machine → the incarnation of the server that it has told what it holds."""
        return self._named("ready")

    @property
    def terms(self) -> str:
        """Machine → the term whose parts of the windows count."""
        return self._named("terms")

    @property
    def beats(self) -> str:
        """Machine → when it was last heard of."""
        return self._named("beats")

    @property
    def unsure(self) -> str:
        """The machines of which nobody knows whether the last they asked for was done."""
        return self._named("unsure")

    @property
    def names_key(self) -> str:
        """The fingerprint of the key that names of limits are committed with."""
        return self._named("names-key")

    @property
    def revoked(self) -> str:
        """The stream of the tokens that were revoked."""
        return self._named("revoked")

    def writing(self, machine: str) -> str:
        """There while a machine's part is being written: an emptied store has lost it."""
        return self._named(f"writing:{machine}")

    def window(self, window: Window) -> str:
        """Term → what its machine has taken of the window."""
        limit, unit, seconds, start = window
        return self._named(f"taken:{unit.value}:{seconds}:{start}:{limit}")

    @property
    def windows(self) -> str:
        """What the names of all windows begin with."""
        return self._named("taken:")

    def taken(self, key: str, amount: int) -> Taken:
        """So much of the window of this name."""
        unit, seconds, start, limit = key.removeprefix(self.windows).split(":", 3)
        return Taken(limit, UNITS[unit], int(seconds), int(start), amount)

    def _named(self, what: str) -> str:
        return f"broker:{self.deployment}:{what}"


def expiry(window: Window) -> int:
    """The unix second in which it is forgotten, a minute after it has ended."""
    _, _, seconds, start = window
    return start + seconds + FORGIVEN_SECONDS if seconds else HELD
