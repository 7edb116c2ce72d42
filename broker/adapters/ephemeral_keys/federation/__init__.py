"""No key at all: the workload's own identity, exchanged at OpenAI for a short access token.

Knows: RFC 8693 as OpenAI's token endpoint speaks it. Must not know: which call a token is for.
"""

from broker.adapters.ephemeral_keys.federation.exchange import TokenEndpoint, Trust
from broker.adapters.ephemeral_keys.federation.source import FederatedKeySource
from broker.adapters.ephemeral_keys.federation.subject import SubjectToken

__all__ = ["FederatedKeySource", "SubjectToken", "TokenEndpoint", "Trust"]
