"""What the sources of short-lived keys share: asking the issuer, renewing in good time, saying why not.

Knows: how long a key lives. Must not know: who issues it, or for what it is good.
"""

from broker.adapters.shortlived.asking import Answer, Asking
from broker.adapters.shortlived.refusal import Cause, Refusal, refused
from broker.adapters.shortlived.renewed import Ending, Issued, RenewedKey, unready
from broker.adapters.shortlived.watch import SILENT, Watch

__all__ = [
    "SILENT",
    "Answer",
    "Asking",
    "Cause",
    "Ending",
    "Issued",
    "Refusal",
    "RenewedKey",
    "Watch",
    "refused",
    "unready",
]
