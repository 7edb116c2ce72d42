"""What a broker has once on its machine: keys, certificates, the log, the owners of stored objects.

Knows: in which order they begin. Must not know: which process asks for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from prometheus_client import CollectorRegistry

from broker.adapters.ledger.access import StartedWriter
from broker.adapters.ledger.ledger import FileLedger
from broker.adapters.objects import SqliteObjectOwners
from broker.adapters.telemetry import IssuedKeyMetrics
from broker.app.certificates import Certificates
from broker.app.credentials import all_keys
from broker.app.keys import credential_source, vault_session
from broker.app.log import AuditLog
from broker.app.objects import OwnedObjects
from broker.app.parts import LONG_STEP_SECONDS, StartedParts
from broker.app.state import StateInUse, keep_limits
from broker.config import Settings
from broker.identity.token import TokenSigner, TokenVerifier
from broker.listeners.tlsfiles import TlsInUse
from broker.model.pool import KeyNews
from broker.model.secret import Lease
from broker.ports import Activating, Clock
from broker.services.tokens import Sign


class ServedKeys(Protocol):
    """A ports.CredentialSource, and how it is."""

    def lease(self, credential: str) -> Coroutine[Any, Any, Lease]: ...

    def revoke(self, credential: str) -> None:
        """Has the credential's key replaced now, where its source can."""

    def unready(self) -> str:
        """What has kept every call from a key since the start, or an empty string."""

    def trouble(self) -> str:
        """What keeps some call from a key now, or would soon; an empty string where all is well."""


@dataclass(frozen=True, slots=True)
class TokenKey:
    """The key of tokens: what verifies them, who signs them, and the text that certifies it, if any."""

    verifier: TokenVerifier
    sign: Sign
    certification: str | None


@dataclass(frozen=True, slots=True)
class MachineParts:
    """What calls need of it. All of it has begun."""

    keys: ServedKeys
    tls: TlsInUse
    ledger: FileLedger
    state: StateInUse
    """What holds calls to their limits, and records them in that log."""
    owners: SqliteObjectOwners
    token_key: TokenKey
    writer_pid: int = 0
    """Of the process that writes the log, where this one has started it."""
    tell_of_key: Callable[[KeyNews], None] = lambda _news: None
    """Gets what upstream has said of a key, for the other processes of this broker."""
    activating: Activating | None = None
    """Who has a policy version recorded before it rules; without one, whoever begins to use it."""


class Machine(Protocol):
    """Where these parts are: in this process, or in the coordinator's."""

    async def open(self, parts: StartedParts) -> MachineParts:
        """Begins them, as `parts`, which end them. Raises BrokerError, ConfigError and OSError."""


class OwnMachine:
    """All of it is in this process."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        registry: CollectorRegistry,
        owners_changed: Callable[[], None] = lambda: None,
    ) -> None:
        """`registry` gets the metrics of issued keys; `owners_changed` is called where the file of owners
        says something else about an object than before.
        """
        self._settings = settings
        self._clock = clock
        self._registry = registry
        self._owners_changed = owners_changed
        self.worker_left: Callable[[], None] = lambda: None
        """To be told that a process has ended that served calls."""
        self.writer: StartedWriter
        """Of the log: where further ledgers join. After `open`."""

    async def open(self, parts: StartedParts) -> MachineParts:
        """See Machine. First what can fail without a trace; then the log, and what is recorded there."""
        settings, clock = self._settings, self._clock
        vault = vault_session(settings, clock)
        if vault is not None:
            parts.add("vault", vault.aclose)
        store = credential_source(settings, clock, vault)
        keys = all_keys(settings, store, clock, IssuedKeyMetrics(self._registry))
        parts.add("keys", keys.aclose, LONG_STEP_SECONDS)
        certificates = Certificates(settings, clock, vault)
        tls = await parts.begin("certificates", certificates.open, certificates.aclose)
        log = await asyncio.to_thread(AuditLog, settings, clock, vault)
        objects = OwnedObjects(settings, clock, self._owners_changed)
        await parts.begin("owners", objects.owners.open, objects.owners.close)
        ledger = await parts.begin("log", log.open, log.aclose, LONG_STEP_SECONDS)
        self.writer = log.writer
        limits = await keep_limits(settings, ledger, clock, parts)
        self.worker_left = limits.worker_left
        await keys.start()  # none is made at OpenAI for a broker whose log does not open
        await parts.begin("objects", partial(objects.follow, ledger), objects.unfollow)
        token_key = _token_key(settings, log)
        return MachineParts(keys, tls, ledger, limits, objects.owners, token_key, writer_pid=log.process.pid)


def _token_key(settings: Settings, log: AuditLog) -> TokenKey:
    signer, identity = TokenSigner(log.token_key), settings.identity
    verifier = TokenVerifier(log.token_key.public_key(), identity.issuer, identity.audience)

    async def sign(claims: bytes) -> str:
        return signer.sign(claims)

    return TokenKey(verifier, sign, log.token_certification())
