"""What a reply says of itself: tokens used, model served, service tier, why it finished.

Knows: OpenAI's `usage` objects of all families; upstream's numbers are hostile until they are plausible. Must
not know: prices, records.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MAX_TOKENS = 100_000_000
"""No call has more: a larger number, a negative one or one that is no number is not believed."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as upstream counted them; None where it did not say. `tokens_written` went into its cache;
    `heard` and `spoken` are audio. `passing`: they were told beside an answer, and may grow while that does.
    `doubtful`: it said something that cannot be, and that was not believed.
    """

    tokens_in: int | None = None
    tokens_out: int | None = None
    tokens_cached: int | None = None
    model: str | None = None
    finish_reason: str | None = None
    tokens_written: int | None = None
    heard: int | None = None
    spoken: int | None = None
    tier: str | None = None
    doubtful: bool = False
    passing: bool = False

    def merged(self, later: Usage) -> Usage:
        """This, overwritten by what `later` knows. Counts are taken together: they are of one `usage`."""
        if later in (self, NO_USAGE):
            return self
        counted = later if later.counts else self
        return Usage(
            counted.tokens_in,
            counted.tokens_out,
            counted.tokens_cached,
            later.model or self.model,
            later.finish_reason or self.finish_reason,
            counted.tokens_written,
            counted.heard,
            counted.spoken,
            later.tier or self.tier,
            counted.doubtful,
            counted.passing,
        )

    def says_no_more(self, document: object) -> bool:
        """Whether this is one more chunk of a stream, and tells nothing that is not known: most are."""
        if type(document) is not dict or document.get("usage") is not None or "response" in document:
            return False
        choices = document.get("choices")
        if not choices or document.get("model") != self.model or document.get("service_tier") != self.tier:
            return False
        first = choices[0] if type(choices) is list else None
        return type(first) is dict and first.get("finish_reason") is None

    @property
    def counts(self) -> bool:
        """Whether it tells of any tokens, if only in a way that is not believed."""
        return self.doubtful or self.tokens_in is not None or self.tokens_out is not None

    def uncounted(self) -> Usage:
        """The same without its tokens: what a reply tells of another call's."""
        return Usage(model=self.model, finish_reason=self.finish_reason, tier=self.tier)


NO_USAGE = Usage()


def usage_of(document: object) -> Usage:
    """The usage of a reply, a stream chunk or a `/v1/responses` event (which nests it in `response`).

    >>> usage_of({"model": "m", "usage": {"prompt_tokens": 3, "total_tokens": 3}}).tokens_in
    3
    >>> usage_of({"usage": {"prompt_tokens": -3, "completion_tokens": "x"}}).doubtful
    True
    """
    if not isinstance(document, dict):
        return NO_USAGE
    inner = document.get("response")
    body: Mapping[str, object] = inner if isinstance(inner, dict) else document
    model, finish, tier = _word(body.get("model")), _finish(body), _word(body.get("service_tier"))
    usage = body.get("usage")
    if usage is None:
        return Usage(model=model, finish_reason=finish, tier=tier)
    counts = _counts(usage) if isinstance(usage, dict) else None
    if counts is None:
        return Usage(model=model, finish_reason=finish, tier=tier, doubtful=True)
    tokens_in, tokens_out, cached, written, heard, spoken = counts
    passing = bool(body.get("choices"))
    return Usage(tokens_in, tokens_out, cached, model, finish, written, heard, spoken, tier, passing=passing)


def _counts(usage: Mapping[str, object]) -> tuple[int | None, ...] | None:
    """In, out, cached, written, heard, spoken; None where one of them cannot be."""
    into = _details(usage, "prompt_tokens_details", "input_tokens_details")
    out = _details(usage, "completion_tokens_details", "output_tokens_details")
    values = (
        _named(usage, "prompt_tokens", "input_tokens"),
        _named(usage, "completion_tokens", "output_tokens"),
        into.get("cached_tokens"),
        into.get("cache_write_tokens"),
        into.get("audio_tokens"),
        out.get("audio_tokens"),
        usage.get("total_tokens"),
    )
    if not all(value is None or (type(value) is int and 0 <= value <= MAX_TOKENS) for value in values):
        return None
    tokens_in, tokens_out, cached, written, heard, spoken, total = values
    known: tuple[int | None, ...] = (tokens_in, tokens_out, cached, written, heard, spoken)  # type: ignore[assignment]
    return known if _plausible(known, total) else None  # type: ignore[arg-type]


def _plausible(known: tuple[int | None, ...], total: int | None) -> bool:
    """No part is larger than what it is a part of, and nothing was used that is in no part."""
    tokens_in, tokens_out, cached, written, heard, spoken = (value or 0 for value in known)
    parts = max(cached + written, heard) <= tokens_in and spoken <= tokens_out
    return parts and (total is None or total <= tokens_in + tokens_out)


def _details(usage: Mapping[str, object], *names: str) -> Mapping[str, object]:
    found = next((usage[name] for name in names if usage.get(name) is not None), None)
    return found if isinstance(found, dict) else {}


def _named(counts: Mapping[str, object], *names: str) -> object:
    return next((counts[name] for name in names if counts.get(name) is not None), None)


def _finish(body: Mapping[str, object]) -> str | None:
    choices = body.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return _word(choices[0].get("finish_reason"))
    return _word(body.get("status")) if body.get("object") == "response" else None


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= 128 else None  # noqa: PLR2004 - a name, not a text
