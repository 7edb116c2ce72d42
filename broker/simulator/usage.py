"""The `usage` objects of the two API generations.

Knows: field names. Must not know: how tokens are counted.
"""

from __future__ import annotations

_CACHEABLE = 1024
_CACHE_STEP = 128


def cached(prompt: int) -> int:
    """Of a prompt of 1,024 tokens and more, all whole steps of 128: OpenAI may, the simulator always does.

    >>> cached(1023), cached(1200)
    (0, 1152)
    """
    return prompt - prompt % _CACHE_STEP if prompt >= _CACHEABLE else 0


def chat_usage(prompt: int, completion: int) -> dict[str, object]:
    """For chat and legacy completions."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached(prompt), "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def response_usage(prompt: int, completion: int) -> dict[str, object]:
    """For responses."""
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached(prompt), "cache_write_tokens": 0},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt + completion,
    }
