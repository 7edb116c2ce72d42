"""The sealed file keystore: upstream keys on disk under AES-256-GCM, behind the CredentialSource port.

Knows: files and their seal. Must not know: what a key opens, or which call it is for.
"""

from broker.adapters.keystore.source import SealedKeySource
from broker.adapters.keystore.store import SealedStore

__all__ = ["SealedKeySource", "SealedStore"]
