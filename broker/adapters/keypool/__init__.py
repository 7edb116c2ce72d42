"""The KeyPool port: several keys behind one credential, those that upstream turns down left out.

Knows: pools, and what upstream said of each key. Must not know: where keys are kept, or what a call is.
"""

from broker.adapters.keypool.pooled import PooledKeys

__all__ = ["PooledKeys"]
