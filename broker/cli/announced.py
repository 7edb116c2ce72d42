"""What commands tell of a broker that accepts calls, whether it is one process or several.

Knows: its names. Must not know: how it runs.
"""

from __future__ import annotations

from typing import Protocol


class Announced(Protocol):
    """A broker that accepts calls."""

    @property
    def https_url(self) -> str: ...

    @property
    def grpc_address(self) -> str: ...

    @property
    def console_url(self) -> str: ...

    @property
    def log_vkey(self) -> str: ...

    def unready(self) -> str:
        """What keeps calls from being served, or an empty string."""
