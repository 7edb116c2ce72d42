"""The store of the real keys that a configuration names: which adapter leases them.

Knows: which adapter each setting means. Must not know: how a call uses a key.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from broker.adapters.credential_router import ConfiguredSource, DenyAllSource
from broker.adapters.keystore import SealedKeySource, SealedStore
from broker.adapters.rego.unserved import ConfiguredKeys
from broker.config import Settings
from broker.errors import BrokerError, ConfigError
from broker.ports import Clock

if TYPE_CHECKING:
    from broker.adapters.vault import Session


def vault_session(settings: Settings, clock: Clock) -> Session | None:
    """The one session with Vault, where the configuration uses Vault for anything. Raises ConfigError."""
    if not settings.uses_vault:
        return None
    from broker.app.from_vault import session_of

    return session_of(settings, clock)


def credential_source(settings: Settings, clock: Clock, session: Session | None) -> ConfiguredSource:
    """The adapter of `keys.adapter`. Raises ConfigError where what it needs is absent or malformed."""
    keys = settings.keys
    if keys.adapter == "vault" and session is not None:
        from broker.app.from_vault import stored_keys

        return stored_keys(settings, clock, session)
    if keys.adapter == "none":
        return DenyAllSource(
            "No store of keys is configured, and no other source for this credential.",
            "Give the credential a section [credentials.<name>], or set keys.adapter.",
        )
    return SealedKeySource(SealedStore(keystore(settings)), clock, keys.hold_seconds)


def configured_keys(settings: Settings) -> ConfiguredKeys:
    """What may be leased, as far as it can be told here: Vault is not asked. Blocking."""
    sourced = frozenset(settings.credentials)
    pools = {pool.credential: pool for pool in settings.key_pools()}
    if settings.keys.adapter == "none":
        return ConfiguredKeys(pools, sourced)
    if settings.keys.adapter == "vault":
        return ConfiguredKeys(pools, None)
    try:
        return ConfiguredKeys(pools, sourced | {*SealedStore(keystore(settings)).names()})
    except (BrokerError, ConfigError):
        return ConfiguredKeys(pools, None)  # the store itself is told elsewhere


def keystore(settings: Settings) -> Path:
    """The folder of the sealed keystore. Raises ConfigError."""
    if settings.keys.directory is None:
        raise ConfigError("keys.directory: needed where keys.adapter is sealed")
    return settings.keys.directory
