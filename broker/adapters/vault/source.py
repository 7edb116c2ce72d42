"""The CredentialSource port over Vault: a few threads ask, the event loop never waits for a socket.

Knows: which piece does what. Must not know: HTTP, threads, how long a key is held.
"""

from __future__ import annotations

from functools import partial

from broker.adapters.credential_names import refuse_name
from broker.adapters.vault.cached_key import CachedKey
from broker.adapters.vault.errors import VaultError
from broker.adapters.vault.keys import KvKeys
from broker.adapters.vault.session import Session
from broker.model.secret import Lease
from broker.ports import Clock

LONGEST_HOLD_SECONDS = 300.0
_SWEEP_ABOVE = 64


class VaultKeySource:
    """Implements ports.CredentialSource over KV v2 at `<mount>/<prefix>/<credential>`, field `key`.

    A key is current when a call gets it, or was within the second before; while Vault is away it is used
    until `hold_seconds` after it was read. Belongs to the session's event loop, and starts and ends with the
    session. Raises ValueError for a `hold_seconds` outside 0 – 300.
    """

    def __init__(
        self,
        session: Session,
        clock: Clock,
        *,
        mount: str = "secret",
        prefix: str = "openai",
        hold_seconds: float = 60.0,
    ) -> None:
        if not 0 < hold_seconds <= LONGEST_HOLD_SECONDS:
            raise ValueError(f"hold_seconds is not above 0 and at most {LONGEST_HOLD_SECONDS:g}")
        self._session = session
        self._keys = KvKeys(mount.strip("/"), prefix.strip("/"))
        self._clock = clock
        self._hold = hold_seconds
        self._kept: dict[str, CachedKey] = {}

    async def start(self) -> None:
        """Starts the session. Never fails: while Vault is away, it tries again and again."""
        await self._session.start()

    def unready(self) -> str:
        """Why the broker has not been able to log in since it started, or an empty string."""
        return self._session.unready()

    def trouble(self) -> str:
        """Why the broker's own token, or a key that is in use, could not be had or confirmed the last time;
        empty while all is well.
        """
        for subject, refusal in self._session.troubles():
            kept = self._kept.get(subject or "")
            if subject is None or (kept is not None and not kept.idle):
                return refusal.message
        return ""

    async def lease(self, credential: str) -> Lease:
        """See ports.CredentialSource. Answers within 2 s whatever Vault does."""
        kept = self._kept.get(credential)
        if kept is None:
            kept = self._keep(credential)
        return await kept.lease()

    def forget(self, credential: str) -> None:
        """Drops what is held of the credential; the next call asks Vault."""
        kept = self._kept.get(credential)
        if kept is not None:
            kept.forget()

    async def aclose(self) -> None:
        """Forgets all keys, and ends the session: close whatever shares it before."""
        for kept in self._kept.values():
            kept.close()
        await self._session.aclose()

    def _keep(self, credential: str) -> CachedKey:
        refuse_name(credential)
        if len(self._kept) >= _SWEEP_ABOVE:
            for name in [name for name, kept in self._kept.items() if kept.idle]:
                del self._kept[name]
                self._session.forget(name)
        kept = CachedKey(partial(self._fetch, credential), self._clock, self._hold)
        self._kept[credential] = kept
        return kept

    async def _fetch(self, credential: str, known: Lease | None) -> Lease | VaultError:
        found = await self._session.ask(partial(self._keys.fetch, credential, known))
        self._session.note(credential, found if isinstance(found, VaultError) else None)
        return found
