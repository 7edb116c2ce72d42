"""No key at all: the workload's own identity, exchanged at OpenAI for a short access token.

Knows: RFC 8693 as OpenAI's token endpoint speaks it. Must not know: which call a token is for.
"""

from broker.adapters.federation.exchange import TokenEndpoint, Trust
from broker.adapters.federation.subject import SubjectToken
from broker.adapters.federation.vault import FederatedKeyVault

__all__ = ["FederatedKeyVault", "SubjectToken", "TokenEndpoint", "Trust"]
