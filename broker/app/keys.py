"""The store of the real keys that a configuration names: which adapter leases them, how it logs in.

Knows: which adapter each setting means. Must not know: how a call uses a key.
"""

from __future__ import annotations

import os
from pathlib import Path

from broker.adapters.keystore import SealedKeyVault, SealedStore
from broker.adapters.rego.unserved import ConfiguredKeys
from broker.adapters.routed import NoKeys, Source
from broker.adapters.vault import (
    AppRole,
    Certificate,
    Cluster,
    Jwt,
    Kubernetes,
    Login,
    Session,
    VaultKeyVault,
)
from broker.adapters.vault.login import SERVICE_ACCOUNT_TOKEN
from broker.config import ConfigError, Settings, Vault
from broker.errors import BrokerError
from broker.ports import Clock


def vault_session(settings: Settings, clock: Clock) -> Session | None:
    """The one session with Vault, where the configuration uses Vault for anything. Raises ConfigError."""
    if not settings.uses_vault:
        return None
    return Session(cluster(settings.vault), login(settings.vault), clock)


def key_source(settings: Settings, clock: Clock, session: Session | None) -> Source:
    """The adapter of `keys.adapter`. Raises ConfigError where what it needs is absent or malformed."""
    keys = settings.keys
    if keys.adapter == "vault" and session is not None:
        vault = settings.vault
        return VaultKeyVault(
            session,
            clock,
            mount=vault.mount,
            prefix=vault.prefix,
            hold_seconds=keys.hold_seconds,
        )
    if keys.adapter == "none":
        return NoKeys(
            "No store of keys is configured, and no other source for this credential.",
            "Give the credential a section [credentials.<name>], or set keys.adapter.",
        )
    return SealedKeyVault(SealedStore(keystore(settings)), clock, keys.hold_seconds)


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


def cluster(vault: Vault) -> Cluster:
    """Where Vault is. Raises ConfigError."""
    pair = (vault.certificate, vault.key) if vault.certificate and vault.key else None
    try:
        return Cluster(vault.addresses, vault.namespace, vault.ca, pair)
    except ValueError as error:
        raise ConfigError(f"vault.addresses: {error}") from None


def _runtime_file() -> Path | None:
    """A file of this service alone that a restart of it finds again, and one of the machine does not."""
    runtime = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(runtime) / "vault.secret-id" if runtime else None


def login(vault: Vault) -> Login:
    """How the broker logs in. Raises ConfigError, naming what is missing."""
    mount = vault.auth_mount or vault.auth
    if vault.auth == "approle" and vault.role_id and vault.wrapped_secret_id:
        return AppRole(vault.role_id, vault.wrapped_secret_id, mount, vault.kept_secret_id or _runtime_file())
    if vault.auth == "cert" and vault.certificate:
        return Certificate(vault.certificate, vault.role, mount)
    if vault.auth == "jwt" and vault.jwt:
        return Jwt(vault.role, vault.jwt, mount)
    if vault.auth == "kubernetes":
        return Kubernetes(vault.role, vault.jwt or SERVICE_ACCOUNT_TOKEN, mount)
    raise ConfigError("\n".join(vault.missing()))
