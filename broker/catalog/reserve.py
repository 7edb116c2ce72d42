"""Step 6: what is set aside for a call, with the input that cannot be seen in it.

Where a call goes on from stored responses, what these were read and wrote is what the model reads of them: it
was counted when they were made. Knows: estimates. Must not know: who owns what, limits.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection
from typing import NamedTuple

from broker.catalog.cost import MAX_AMOUNT
from broker.catalog.count import PER_MESSAGE
from broker.catalog.estimate import Estimate, worst_cost
from broker.catalog.models import LARGEST_WINDOW, find
from broker.errors import BrokerError
from broker.model.stored import Context

_SHARE = (
    16  # what was written is framed anew where it is read: by a sixteenth at most, and by a message or two
)
_FRAMES = 16 * PER_MESSAGE
LEAST_FITTED = 16
"""Tokens that an answer must have: OpenAI takes no lower bound for a response."""


class Reserve(NamedTuple):
    """What is charged beforehand: tokens, and millionths of a US dollar."""

    tokens: int
    micro_usd: int


def reserve(worst: Estimate, at_most: int | None, *, regional: bool) -> Reserve:
    """For a call that was estimated at `worst`; `at_most` is policy's bound of what cannot be seen."""
    unseen = worst.terms.unseen_in
    if not unseen:
        return Reserve(worst.tokens_in + worst.tokens_out_max, worst.cost_micro_usd)
    if worst.terms.apart is not None and not worst.terms.continues:
        unseen = min(unseen, worst.terms.apart)
    if at_most is not None:
        unseen = min(unseen, at_most)
    tokens_in = worst.tokens_in + unseen
    spent = worst_cost(worst.terms, tokens_in, worst.tokens_out_max, regional=regional)
    return Reserve(min(tokens_in + worst.tokens_out_max, MAX_AMOUNT), spent)


def fitted(worst: Estimate, at_most: int | None, left: Reserve, *, regional: bool) -> int | None:
    """The longest that each answer may be for `reserve` to be no more than `left`; None where it cannot be 16
    tokens, or where something of what the answers cost is not bounded by their length.
    """
    shown, extra = worst.terms.answers.shown, worst.terms.answers.extra
    if not shown or extra:
        return None

    def fits(each: int) -> bool:
        out = each * shown
        spent = worst_cost(worst.terms, worst.tokens_in, out, regional=regional)
        needs = reserve(worst._replace(tokens_out_max=out, cost_micro_usd=spent), at_most, regional=regional)
        return needs.tokens <= left.tokens and needs.micro_usd <= left.micro_usd

    longest = bisect_left(range(worst.terms.answers.each + 1), x=True, key=lambda each: not fits(each)) - 1
    return longest if longest >= LEAST_FITTED else None


def with_unseen(error: BrokerError, worst: Estimate) -> BrokerError:
    """Why a limit would be passed, with what the caller does not see of its own call."""
    if worst.terms.unseen_in:
        error.remedy += (
            f" Up to {worst.terms.unseen_in} tokens of its input cannot be counted before it is sent, "
            "so they are reserved: go on by `previous_response_id` from a response that ended here, on "
            "the same model, send the text itself, or have the security team set `unseen_tokens`."
        )
    return error


def going_on(worst: Estimate, contexts: Collection[Context | None]) -> Estimate:
    """The estimate of a call that goes on from stored responses of which this is known. Where it is not known
    of one, or only for a model that reads otherwise, the window is the bound.
    """
    terms = worst.terms
    window = worst.model.context_window if worst.model is not None else LARGEST_WINDOW
    rest = max(0, window - worst.tokens_in)
    known = [_read(each, terms.model) for each in contexts]
    if terms.apart is None or None in known:
        terms = terms._replace(unseen_in=rest, apart=None, continues=True)
    else:
        told = sum(each for each in known if each is not None)
        bound = min(rest, told + terms.apart)
        text = terms.apart == 0 and all(
            each and each.counted_for == _vocabulary(terms.model) for each in contexts
        )
        terms = terms._replace(unseen_in=bound, apart=0 if text else bound, continues=True)
    return Estimate(worst.tokens_in, worst.tokens_out_max, worst.cost_micro_usd, worst.model, terms)


def context_of(worst: Estimate, served: str | None, tokens: int) -> Context | None:
    """What is read of a response that this call made: by every model of one vocabulary, where all is text."""
    name = served or worst.terms.model
    if name is None:
        return None
    if worst.terms.billed and worst.terms.apart == 0:
        return Context(tokens, _vocabulary(name))
    return Context(tokens, name)


def _read(context: Context | None, model: str | None) -> int | None:
    if context is None or model is None:
        return None
    same = context.counted_for in (model, _vocabulary(model)) or (
        find(model) is not None and find(context.counted_for) == find(model)
    )
    return context.tokens + context.tokens // _SHARE + _FRAMES if same else None


def _vocabulary(model: str | None) -> str:
    """The name of a known model's; of another nobody knows more than its own."""
    known = find(model)
    return known.encoding if known is not None else str(model)
