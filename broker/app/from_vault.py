"""What a configuration takes from Vault: the session, and each adapter that uses it.

Loaded where Vault is used, and nowhere else.
Knows: which adapter each setting means, and how the broker logs in. Must not know: how a call uses a key.
"""

from __future__ import annotations

import os
from pathlib import Path

from broker.adapters.vault import (
    AppRole,
    Certificate,
    Cluster,
    Jwt,
    Kubernetes,
    Login,
    PkiRole,
    ServerCertificate,
    ServerCertificateFiles,
    Session,
    TransitCertifier,
    VaultKeySource,
    certificate_names,
)
from broker.adapters.vault.login import SERVICE_ACCOUNT_TOKEN
from broker.config import Settings, VaultSettings
from broker.errors import ConfigError
from broker.ports import Clock


def session_of(settings: Settings, clock: Clock) -> Session:
    """The one session with Vault. Raises ConfigError."""
    return Session(cluster(settings.vault), login(settings.vault), clock)


def stored_keys(settings: Settings, clock: Clock, session: Session) -> VaultKeySource:
    """The keys that Vault stores."""
    vault = settings.vault
    return VaultKeySource(
        session, clock, mount=vault.mount, prefix=vault.prefix, hold_seconds=settings.keys.hold_seconds
    )


def certifier(settings: Settings, session: Session) -> TransitCertifier:
    """Vault's signature below the log's keys."""
    return TransitCertifier(session, mount=settings.vault.transit_mount, key=settings.vault.transit_name)


def issued_certificate(
    settings: Settings, clock: Clock, session: Session, files: ServerCertificateFiles
) -> ServerCertificate:
    """The listeners' certificate, which Vault's PKI issues."""
    vault = settings.vault
    role = PkiRole(session, mount=vault.pki_mount, role=vault.pki_role or "")
    spiffe_id = f"spiffe://{settings.identity.trust_domain}/broker"
    return ServerCertificate(role, files, certificate_names(spiffe_id, vault.server_names), clock)


def cluster(vault: VaultSettings) -> Cluster:
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


def login(vault: VaultSettings) -> Login:
    """How the broker logs in. Raises ConfigError where what that way needs is missing."""
    mount = vault.auth_mount or vault.auth
    if vault.auth == "approle" and vault.role_id and vault.wrapped_secret_id:
        return AppRole(vault.role_id, vault.wrapped_secret_id, mount, vault.kept_secret_id or _runtime_file())
    if vault.auth == "cert" and vault.certificate:
        return Certificate(vault.certificate, vault.role, mount)
    if vault.auth == "jwt" and vault.jwt:
        return Jwt(vault.role, vault.jwt, mount)
    if vault.auth == "kubernetes":
        return Kubernetes(vault.role, vault.jwt or SERVICE_ACCOUNT_TOKEN, mount)
    raise ConfigError(f"vault.auth: what {vault.auth} needs is missing")
