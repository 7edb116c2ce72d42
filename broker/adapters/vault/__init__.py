"""Vault (or OpenBao): KV v2 keys, held briefly; Transit, which certifies; PKI, which issues certificates.

Knows: Vault's API, through hvac. Must not know: what a key opens, or which call it is for.
"""

from broker.adapters.vault.cluster import Cluster
from broker.adapters.vault.login import AppRole, Certificate, Jwt, Kubernetes, Login
from broker.adapters.vault.pki import PkiRole
from broker.adapters.vault.server_certificate import (
    ServerCertificate,
    ServerCertificateFiles,
    certificate_names,
)
from broker.adapters.vault.session import Session
from broker.adapters.vault.source import VaultKeySource
from broker.adapters.vault.store import VaultStore
from broker.adapters.vault.transit import TransitCertifier

__all__ = [
    "AppRole",
    "Certificate",
    "Cluster",
    "Jwt",
    "Kubernetes",
    "Login",
    "PkiRole",
    "ServerCertificate",
    "ServerCertificateFiles",
    "Session",
    "TransitCertifier",
    "VaultKeySource",
    "VaultStore",
    "certificate_names",
]
