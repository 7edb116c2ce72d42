"""The OpenAI API as Upstream: one transport, retries before the first byte, whole SSE events.

Knows: HTTP, SSE and OpenAI's terminal events. Must not know: who calls, or why.
"""

from broker.adapters.openai.backoff import RetryPolicy
from broker.adapters.openai.upstream import Deadlines, OpenAIUpstream

__all__ = ["Deadlines", "OpenAIUpstream", "RetryPolicy"]
