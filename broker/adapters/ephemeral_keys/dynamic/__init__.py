"""Keys that the broker makes itself at OpenAI: short-lived, narrow, and deleted again.

Knows: OpenAI's admin API of project service accounts and spend limits. Must not know: which call a key is
for.
"""

from broker.adapters.ephemeral_keys.dynamic.admin import AdminApi, SpendLimit
from broker.adapters.ephemeral_keys.dynamic.instance import Instance
from broker.adapters.ephemeral_keys.dynamic.source import DynamicKey, DynamicKeySource

__all__ = ["AdminApi", "DynamicKey", "DynamicKeySource", "Instance", "SpendLimit"]
