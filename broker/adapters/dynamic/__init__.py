"""Keys that the broker makes itself at OpenAI: short-lived, narrow, and deleted again.

Knows: OpenAI's admin API of project service accounts. Must not know: which call a key is for.
"""

from broker.adapters.dynamic.admin import AdminApi
from broker.adapters.dynamic.instance import Instance
from broker.adapters.dynamic.vault import DynamicKey, DynamicKeyVault

__all__ = ["AdminApi", "DynamicKey", "DynamicKeyVault", "Instance"]
