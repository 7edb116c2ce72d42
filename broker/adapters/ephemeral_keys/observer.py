"""What an operator is told of ephemeral keys, in figures.

Knows: names of credentials, causes, times. Must not know: keys, and how figures are shown.
"""

from __future__ import annotations

from typing import Protocol


class IssuerObserver(Protocol):
    """Counts; never raises, never waits. `credential` is a name of the configuration."""

    def issued(self, credential: str, ends_at: float) -> None:
        """A key came, good until `ends_at` (unix seconds)."""

    def not_issued(self, credential: str, cause: str) -> None:
        """None came, for one of few causes."""

    def fell_back(self, credential: str) -> None:
        """A call got the credential's fallback instead."""

    def came_back(self, credential: str) -> None:
        """Calls get the credential's own key again."""


class _SilentObserver:
    def issued(self, credential: str, ends_at: float) -> None: ...

    def not_issued(self, credential: str, cause: str) -> None: ...

    def fell_back(self, credential: str) -> None: ...

    def came_back(self, credential: str) -> None: ...


SILENT: IssuerObserver = _SilentObserver()
"""Counts nothing."""
