"""What one call was estimated at, and what upstream has told and delivered of it since.

Knows: the facts that a cost is reckoned from. Must not know: how it is reckoned (`charging`), records.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from broker.catalog.count import count_text
from broker.catalog.estimate import NO_ESTIMATE, Estimate
from broker.shaping.delivered import Delivered
from broker.shaping.usage import NO_USAGE, Usage, usage_of

_LONGEST_ID = 128
_SPARE = 256


class Meter:
    """The mutable facts of one call. `usage_added`: upstream is asked for usage, which the caller did not."""

    def __init__(self, estimate: Estimate = NO_ESTIMATE, *, usage_added: bool = False) -> None:
        self.estimate = estimate
        self.usage_added = usage_added
        self.usage: Usage = NO_USAGE
        self.delivered = Delivered(partial(_tokens_of, estimate), _most_of(estimate))
        self.response_id: str | None = None
        """The response of `/v1/responses` that upstream spoke of: made by this call, or read by it."""
        self.read: Usage = NO_USAGE
        """The usage of a response that this call only read."""

    def told(self, document: object) -> None:
        """Upstream says this: a whole reply, or the next event of a stream."""
        if self.usage.says_no_more(document):
            return
        said = usage_of(document)
        self.response_id = _response_id(document) or self.response_id
        if not self.estimate.terms.billed:
            self.read, said = self.read.merged(said), said.uncounted()
        self.usage = self.usage.merged(said)

    def streamed(self, document: object) -> None:
        """Upstream says this in an event of a stream, which delivers what it holds."""
        self.told(document)
        self.delivered.take(document)

    def knows(self, document: object) -> bool:
        """Whether the same document again would tell nothing."""
        if self.usage.says_no_more(document):
            return True
        return usage_of(document) == NO_USAGE and _response_id(document) is None


def _tokens_of(estimate: Estimate, text: str) -> int:
    """The tokens of a text that upstream delivered; 0 where they tell nothing, because the model hides some
    of what it bills. No method: a meter that is a part of itself stays until the garbage collector comes.
    """
    return 0 if estimate.terms.price.hidden else count_text(text, estimate.model)


def _most_of(estimate: Estimate) -> tuple[int, int] | None:
    """How many tokens upstream may write of one answer, and of all. It was told so, and a sixth more is
    believed to be its way to count; None where it counts as nobody knows.
    """
    bounds = estimate.terms.answers
    if estimate.model is None or not bounds.shown:
        return None
    return _spared(bounds.each), _spared(bounds.total)


def _spared(tokens: int) -> int:
    return tokens + tokens // 6 + _SPARE


def _response_id(document: object) -> str | None:
    if not isinstance(document, dict):
        return None
    inner = document.get("response")
    body: Mapping[str, object] = inner if isinstance(inner, dict) else document
    name = body.get("id") if body.get("object") == "response" else None
    return name if isinstance(name, str) and len(name) <= _LONGEST_ID else None
