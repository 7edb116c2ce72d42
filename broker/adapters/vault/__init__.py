"""Vault (or OpenBao) behind the KeyVault port: KV v2 keys, held briefly, confirmed every second.

Knows: Vault's API, through hvac. Must not know: what a key opens, or which call it is for.
"""

from broker.adapters.vault.cluster import Cluster
from broker.adapters.vault.login import AppRole, Certificate, Jwt, Kubernetes, Login
from broker.adapters.vault.store import VaultStore
from broker.adapters.vault.vault import VaultKeyVault

__all__ = [
    "AppRole",
    "Certificate",
    "Cluster",
    "Jwt",
    "Kubernetes",
    "Login",
    "VaultKeyVault",
    "VaultStore",
]
