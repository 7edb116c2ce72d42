"""What a reply says of itself: tokens used, model served, service tier, why it finished.

Knows: OpenAI's `usage` objects of all families; upstream's numbers are hostile until they are plausible. Must
not know: prices, records.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

MAX_TOKENS = 100_000_000
"""No call has more: a larger number, a negative one or one that is no number is not believed."""


class Usage(NamedTuple):
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
        if self is NO_USAGE:
            return later
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
    get = usage.get
    tokens_in, tokens_out, total = get("prompt_tokens"), get("completion_tokens"), get("total_tokens")
    if tokens_in is None:
        tokens_in = get("input_tokens")
    if tokens_out is None:
        tokens_out = get("output_tokens")
    into = get("prompt_tokens_details") or get("input_tokens_details")
    out = get("completion_tokens_details") or get("output_tokens_details")
    part = into.get if isinstance(into, dict) else _nothing
    spoken = out.get("audio_tokens") if isinstance(out, dict) else None
    values = (
        tokens_in, tokens_out, part("cached_tokens"), part("cache_write_tokens"), part("audio_tokens"), spoken
    )  # fmt: skip
    for value in (*values, total):
        if value is not None and not (type(value) is int and 0 <= value <= MAX_TOKENS):
            return None
    known: tuple[int | None, ...] = values  # type: ignore[assignment]
    return known if _plausible(known, total) else None  # type: ignore[arg-type]


def _nothing(_: str) -> None:
    """Of what is not there."""


def _plausible(known: tuple[int | None, ...], total: int | None) -> bool:
    """No part is larger than what it is a part of, and nothing was used that is in no part."""
    tokens_in, tokens_out, cached, written, heard, spoken = known
    into, out = tokens_in or 0, tokens_out or 0
    if (cached or 0) + (written or 0) > into or (heard or 0) > into or (spoken or 0) > out:
        return False
    return total is None or total <= into + out


def _finish(body: Mapping[str, object]) -> str | None:
    choices = body.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return _word(choices[0].get("finish_reason"))
    return _word(body.get("status")) if body.get("object") == "response" else None


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= 128 else None  # noqa: PLR2004 - a name, not a text
