"""The one error of this package."""

from __future__ import annotations

from broker.errors import BrokerError, Kind

RETRY_SECONDS = 5.0


def unusable(message: str, remedy: str) -> BrokerError:
    """CREDENTIAL_STORE_UNAVAILABLE. Neither text may hold anything of a key."""
    return BrokerError(Kind.CREDENTIAL_STORE_UNAVAILABLE, message, remedy=remedy, retry_after=RETRY_SECONDS)
