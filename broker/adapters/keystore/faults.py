"""The one error of this package."""

from __future__ import annotations

from broker.errors import BrokerError, store_unavailable

RETRY_SECONDS = 5.0


def unusable(message: str, remedy: str) -> BrokerError:
    """CREDENTIAL_STORE_UNAVAILABLE. Neither text may hold anything of a key."""
    return store_unavailable(message, remedy, RETRY_SECONDS)
