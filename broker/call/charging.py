"""What a call costs in the end: the one rule for every way it can end.

Where upstream counted, its count at the price of the model and the tier that served. Where it did not: what
was delivered, plus what cannot be seen at its reserved worst case. What upstream never saw or refused costs
nothing.
Knows: estimates, usage, what was delivered. Must not know: limits, records, how a call is sent. Pure.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from broker.catalog.bounds import Answers
from broker.catalog.cost import MAX_AMOUNT, Tokens, cost, tier_of
from broker.catalog.estimate import Estimate, Terms, worst_cost
from broker.catalog.fees import fees_used
from broker.catalog.prices import kept_longer, known_price
from broker.shaping.delivered import Delivered
from broker.shaping.usage import Usage


class CallEnd(StrEnum):
    """How far a call came."""

    UNSENT = "unsent"
    """Upstream has nothing of it."""
    REFUSED = "refused"
    """Upstream answered with an error, which it does not bill."""
    WHOLE = "whole"
    """Upstream said all it had to say."""
    BROKEN = "broken"
    """Upstream broke off: it writes no more."""
    LEFT = "left"
    """Nobody waits for the answer any more. Upstream was at work, and may have finished it."""


class Cost(NamedTuple):
    """What one call is charged. `exact`: as upstream bills it; otherwise no more than this."""

    tokens: int
    micro_usd: int
    exact: bool


NOTHING = Cost(0, 0, exact=True)


def charge(
    worst: Estimate, ending: CallEnd, usage: Usage, delivered: Delivered, *, regional: bool = False
) -> Cost:
    """The cost of a call that was estimated at `worst`. `regional`: a key of a region served it."""
    terms = worst.terms
    if ending in (CallEnd.UNSENT, CallEnd.REFUSED):
        return NOTHING
    if not terms.billed:
        return Cost(worst.tokens_in, 0, exact=True)
    terms = _served(terms, usage)
    counted = ending is CallEnd.WHOLE or not usage.passing
    if not counted or usage.tokens_in is None or (usage.tokens_out is None and terms.answers.shown):
        blind = worst.terms.price.hidden or terms.price.hidden or terms.speaks
        tokens_out = _output(terms.answers, ending, usage, delivered, blind=blind)
        tokens_in = max(worst.tokens_in + terms.unseen_in, usage.tokens_in or 0)
        spent = worst_cost(terms, tokens_in, tokens_out, regional=regional)
        return Cost(min(tokens_in + tokens_out, MAX_AMOUNT), spent, exact=False)
    tokens = Tokens(
        usage.tokens_in,
        usage.tokens_out or 0,
        usage.tokens_cached or 0,
        usage.tokens_written or 0,
        usage.heard or 0,
        usage.spoken or 0,
    )
    spent = cost(terms.price, tokens, terms.tier, regional=regional) if tokens.total else 0
    spent += fees_used(terms.tools, delivered.uses)
    return Cost(tokens.total, min(spent, MAX_AMOUNT), exact=True)


def _served(terms: Terms, usage: Usage) -> Terms:
    """The price and the tier of what served the call, as far as upstream told: else of what was asked for."""
    price = known_price(usage.model)
    price = terms.price if price is None else kept_longer(price) if terms.keeps else price
    tier = terms.tier if usage.tier is None else tier_of(usage.tier)
    return terms if price is terms.price and tier is terms.tier else terms._replace(price=price, tier=tier)


def _output(bounds: Answers, ending: CallEnd, usage: Usage, delivered: Delivered, *, blind: bool) -> int:
    """Output tokens: of each answer that is over what was delivered, of each other the longest there can be.

    Nothing is seen to be over where the model reasons or speaks (`blind`), where upstream's own count was not
    to be believed, or where it only said that it will answer.
    """
    if not bounds.shown:
        return 0
    unseen = blind or usage.doubtful or delivered.late
    if unseen or (ending is CallEnd.WHOLE and not delivered.begun):
        return max(bounds.total, sum(delivered.tokens()))
    if ending is not CallEnd.LEFT:
        return sum(delivered.tokens()) + bounds.extra
    waiting = max(0, bounds.shown - len(delivered.tokens()))
    return sum(delivered.tokens(at_least=bounds.each)) + waiting * bounds.each + bounds.extra
