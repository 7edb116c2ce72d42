"""The sealed file keystore: upstream keys on disk under AES-256-GCM, behind the KeyVault port.

Knows: files and their seal. Must not know: what a key opens, or which call it is for.
"""

from broker.adapters.keystore.store import SealedStore
from broker.adapters.keystore.vault import SealedKeyVault

__all__ = ["SealedKeyVault", "SealedStore"]
