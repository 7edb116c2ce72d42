"""The OpenAI API as Upstream: one pool, retries before the first byte, whole SSE events.

Knows: HTTP, SSE and OpenAI's terminal events. Must not know: who calls, or why.
"""

from broker.adapters.openai.backoff import RetryPolicy
from broker.adapters.openai.origin import UpstreamOrigin
from broker.adapters.openai.pool import ConnectionPool, Deadlines
from broker.adapters.openai.upstream import OpenAIUpstream

__all__ = ["ConnectionPool", "Deadlines", "OpenAIUpstream", "RetryPolicy", "UpstreamOrigin"]
