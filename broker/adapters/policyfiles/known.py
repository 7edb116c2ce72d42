"""The names that data may use because the broker knows them: operations, actions, rules of content, body
fields.

Knows: where each list comes from. Must not know: schemas. `tests/policy` holds the fields against the
listeners'.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from zoneinfo import available_timezones

from broker.model.finding import Severity
from broker.model.limit import OWN_ZONE
from broker.model.operation import AdminAction, Operation
from broker.prefilter.rules import FIXED

_LISTED = ("topic.banned", "injection.phrase")  # rules whose words are configuration
_RESERVED = ("policy.shadow",)  # an action that schemas and roles name and no RPC offers yet
# fmt: off
BODY_FIELDS = frozenset(
    {
        "access_programs", "audio", "background", "background_options", "best_of", "context_management",
        "conversation", "dimensions", "echo", "encoding_format", "frequency_penalty", "function_call",
        "functions", "image", "include", "input", "instruction", "instructions", "logit_bias", "logprobs",
        "max_completion_tokens", "max_output_tokens", "max_tokens", "max_tool_calls", "messages",
        "metadata", "modalities", "model", "moderation", "n", "parallel_tool_calls", "prediction",
        "presence_penalty", "previous_response_id", "prompt", "prompt_cache_key", "prompt_cache_options",
        "prompt_cache_retention", "reasoning", "reasoning_effort", "response_format", "safety_identifier",
        "seed", "service_tier", "stop", "store", "stream", "stream_options", "suffix", "temperature",
        "text", "tool_choice", "tools", "top_logprobs", "top_p", "truncation", "user", "verbosity",
        "web_search_options",
    }
)
# fmt: on
"""The fields of the bodies that OpenAI documents for what the broker serves."""


@lru_cache(maxsize=1)
def known_names() -> Mapping[str, Collection[str]]:
    """By the word that `x-known` uses."""
    rules = frozenset((*(rule.id for rule in FIXED), *_LISTED))
    families = frozenset(rule.partition(".")[0] for rule in rules)
    return {
        "operation": frozenset(operation.value for operation in Operation),
        "action": frozenset((*(action.value for action in AdminAction), *_RESERVED)),
        "finding": rules | families | {f"severity:{severity.value}" for severity in Severity},
        "reply": rules | {f"{family}.*" for family in families} | {"*"},
        "field": BODY_FIELDS,
        "time_zone": available_timezones() - {OWN_ZONE},
    }
