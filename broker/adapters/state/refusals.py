"""What is said where the shared state cannot be asked.

Knows sentences. Must not know who says them, or why.
"""

from __future__ import annotations

from broker.errors import BrokerError, Kind

RETRY_SECONDS = 1.0


class StoreAwayError(Exception):
    """The store cannot be asked; the message says why, and holds nothing secret. What it was asked last it
    may have done.
    """


def unavailable(why: str) -> BrokerError:
    """STATE_UNAVAILABLE."""
    return BrokerError(
        Kind.STATE_UNAVAILABLE,
        f"Limits cannot be checked: {why}.",
        remedy="Nothing was sent or charged; try again in a moment.",
        retry_after=RETRY_SECONDS,
    )
