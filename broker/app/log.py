"""The log of a configuration: its keys, who certifies them, and the ledger that writes it.

Knows: what is certified before what is used. Must not know: what a record says.
"""

from __future__ import annotations

import secrets
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from broker.adapters.keyfile import load_or_create_ed25519
from broker.adapters.ledger.access import StartedWriter, WriterProcess
from broker.adapters.ledger.certifying import Certifying
from broker.adapters.ledger.keys import LogKeys
from broker.adapters.ledger.ledger import FileLedger
from broker.adapters.ledger.opening import Opening
from broker.app.state import log_of
from broker.config import Settings
from broker.ports import Clock
from broker.tlog.certification import KeyUse

if TYPE_CHECKING:
    from broker.adapters.vault import Session


class AuditLog:
    """The ledger of a configuration, from `open` to `aclose`, and the key that signs tokens."""

    def __init__(self, settings: Settings, clock: Clock, session: Session | None) -> None:
        """Reads the keys, making those that are missing. Raises BrokerError and OSError. Blocking."""
        self._instance = secrets.token_hex(8)
        self._clock = clock
        self._settings = settings
        self._audit = settings.audit
        self._keys = LogKeys.load_or_create(self._audit.keys)
        self.token_key = load_or_create_ed25519(settings.identity.token_key)
        self._certifying = self._certifier(settings, session)
        self._ledger: FileLedger | None = None

    async def open(self) -> FileLedger:
        """The open ledger; by then every key that is used is certified, where that is asked for. Raises
        BrokerError CREDENTIAL_STORE_UNAVAILABLE where a new key cannot be, and AUDIT_UNAVAILABLE.
        """
        if self._certifying is not None:
            used = {
                KeyUse.RECORD: self._keys.record,
                KeyUse.CHECKPOINT: self._keys.checkpoint,
                KeyUse.TOKEN: self.token_key,
            }
            await self._certifying.certify({use: _public(key) for use, key in used.items()})
        audit, certifications = self._audit, self._certifying.new if self._certifying is not None else ()
        opening = Opening(
            audit.directory, audit.keys, audit.origin, self._keys, self._instance, certifications
        )
        self.process = WriterProcess()
        self.writer = StartedWriter(opening, self.process)
        ledger = self._ledger = log_of(self._settings, self.writer, self._clock)
        await ledger.open()
        if self._certifying is not None:
            await self._certifying.start()
        return ledger

    def token_certification(self) -> str | None:
        """What certifies the key that signs tokens; after `open`."""
        return self._certifying.certification(KeyUse.TOKEN) if self._certifying is not None else None

    async def aclose(self) -> None:
        """Closes the ledger, and has its last checkpoint certified."""
        async with AsyncExitStack() as ends:
            if self._certifying is not None:
                ends.push_async_callback(self._certifying.aclose)
            if self._ledger is not None:
                ends.push_async_callback(self._ledger.close)

    def _certifier(self, settings: Settings, session: Session | None) -> Certifying | None:
        vault = settings.vault
        if not vault.certify or session is None:
            return None
        from broker.app.from_vault import certifier

        return Certifying(
            certifier(settings, session),
            self._audit.directory,
            origin=self._audit.origin,
            instance=self._instance,
            clock=self._clock,
            every_seconds=vault.certify_seconds,
        )


def _public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()
