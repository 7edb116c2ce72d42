"""What the sources of ephemeral keys share: asking the issuer, renewing in good time, saying why not.

Knows: how long a key lives. Must not know: who issues it, or for what it is good.
"""

from broker.adapters.ephemeral_keys.json_client import JsonHttpClient, JsonResponse
from broker.adapters.ephemeral_keys.observer import SILENT, IssuerObserver
from broker.adapters.ephemeral_keys.renewed_key import Issued, RenewedKey, RetireReason, trouble, unready
from broker.adapters.ephemeral_keys.source_error import ErrorCode, SourceError, refused

__all__ = [
    "SILENT",
    "ErrorCode",
    "Issued",
    "IssuerObserver",
    "JsonHttpClient",
    "JsonResponse",
    "RenewedKey",
    "RetireReason",
    "SourceError",
    "refused",
    "trouble",
    "unready",
]
