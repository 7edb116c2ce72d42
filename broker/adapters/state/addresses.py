"""Where servers of a store are, as values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """Where a server listens."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Primary:
    """The server in charge, and the number of the failover that put it there."""

    address: StoreAddress
    failover: int
