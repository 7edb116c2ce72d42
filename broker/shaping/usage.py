"""What a reply says of itself: tokens used, model served, why it finished.

Knows: OpenAI's `usage` objects of all families. Must not know: prices, records.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as upstream counted them; None where it did not say."""

    tokens_in: int | None = None
    tokens_out: int | None = None
    tokens_cached: int | None = None
    model: str | None = None
    finish_reason: str | None = None

    def merged(self, later: Usage) -> Usage:
        """This, overwritten by what `later` knows."""
        return Usage(
            later.tokens_in if later.tokens_in is not None else self.tokens_in,
            later.tokens_out if later.tokens_out is not None else self.tokens_out,
            later.tokens_cached if later.tokens_cached is not None else self.tokens_cached,
            later.model or self.model,
            later.finish_reason or self.finish_reason,
        )


def usage_of(document: object) -> Usage:
    """The usage of a reply, a stream chunk or a `/v1/responses` event (which nests it in `response`).

    >>> usage_of({"model": "m", "usage": {"prompt_tokens": 3, "total_tokens": 3}}).tokens_in
    3
    """
    if not isinstance(document, dict):
        return Usage()
    inner = document.get("response")
    body: Mapping[str, object] = inner if isinstance(inner, dict) else document
    usage = body.get("usage")
    counts: Mapping[str, object] = usage if isinstance(usage, dict) else {}
    return Usage(
        _count(counts, "prompt_tokens", "input_tokens"),
        _count(counts, "completion_tokens", "output_tokens"),
        _cached(counts),
        _word(body.get("model")),
        _finish(body),
    )


def _count(counts: Mapping[str, object], *names: str) -> int | None:
    for name in names:
        value = counts.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def _cached(counts: Mapping[str, object]) -> int | None:
    details = counts.get("prompt_tokens_details") or counts.get("input_tokens_details")
    return _count(details, "cached_tokens") if isinstance(details, dict) else None


def _finish(body: Mapping[str, object]) -> str | None:
    choices = body.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return _word(choices[0].get("finish_reason"))
    return _word(body.get("status")) if body.get("object") == "response" else None


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= 128 else None  # noqa: PLR2004 - a name, not a text
