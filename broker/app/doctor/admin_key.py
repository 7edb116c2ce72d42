"""The admin key, for what the doctor itself asks OpenAI: kept from the one look into the store.

Knows: its name. Must not know: stores (a login to Vault may be good for one look only), OpenAI.
"""

from __future__ import annotations

from broker.errors import store_unavailable
from broker.model.secret import Lease


class AdminKey:
    """Implements ports.CredentialSource for one name."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lease: Lease | None = None

    def shown(self, name: str, lease: Lease) -> None:
        """A key that the store has: kept where it is the admin key."""
        if name == self._name:
            self._lease = lease

    async def lease(self, credential: str) -> Lease:
        """Raises CREDENTIAL_STORE_UNAVAILABLE where the store did not have it."""
        if self._lease is None or credential != self._name:
            raise store_unavailable(
                f"the store was not seen to have {self._name}.", "See what is told of the keys.", 60.0
            )
        return self._lease
