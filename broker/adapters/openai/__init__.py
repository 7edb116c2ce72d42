"""The OpenAI API as Upstream: one pool, retries before the first byte, whole SSE events.

Knows: HTTP, SSE and OpenAI's terminal events. Must not know: who calls, or why.
"""

from broker.adapters.openai.backoff import RetryPolicy
from broker.adapters.openai.origin import Origin
from broker.adapters.openai.pool import Deadlines, Pool
from broker.adapters.openai.upstream import OpenAIUpstream

__all__ = ["Deadlines", "OpenAIUpstream", "Origin", "Pool", "RetryPolicy"]
