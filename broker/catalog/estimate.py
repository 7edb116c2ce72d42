"""Step 4: what a call can cost at worst, and whether its model can take it at all.

Knows: request parameters that bound the output. Must not know: limits or budgets.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from email.utils import format_datetime
from functools import lru_cache
from typing import NamedTuple

from broker.catalog.bounds import (
    FREE_OF_CHARGE,
    NO_ANSWERS,
    Answers,
    answers,
    asked_output,
    is_ordinary,
    keeps_longer,
    speaks,
    unseen,
)
from broker.catalog.cost import MAX_AMOUNT, Tier, Tokens, cost, tier_of
from broker.catalog.count import count_input, image_at_most
from broker.catalog.fees import Fees, fees_at_most, fees_of
from broker.catalog.models import LARGEST_WINDOW, UNKNOWN, Model, find
from broker.catalog.prices import FREE, Price, kept_longer, price_of
from broker.errors import BrokerError, Kind
from broker.model.call import Call
from broker.model.operation import Operation


class Terms(NamedTuple):
    """What a call was estimated at, for whoever settles it: see `charging`.

    `model` is the one asked for, at `price`, in the dearest service `tier` that may serve the call (flex
    counts once upstream says so). `unseen_in` are the tokens that its input may have beside those counted,
    and `apart` those of them that do not come from stored responses, None: nobody knows how many; whether it
    `continues` stored responses; `keeps` says that its input stays in the cache longer than usual, `hears`
    and `speaks` that its tokens may be audio; `tools` are OpenAI's own, `fees` theirs at most. What is not
    `billed` costs nothing.
    """

    billed: bool = False
    model: str | None = None
    price: Price = FREE
    tier: Tier = Tier.STANDARD
    answers: Answers = NO_ANSWERS
    unseen_in: int = 0
    apart: int | None = 0
    continues: bool = False
    hears: bool = False
    speaks: bool = False
    keeps: bool = False
    tools: Fees = ()
    fees: int = 0


UNBILLED = Terms()


class Estimate(NamedTuple):
    """Worst case of one call: tokens, and money in millionths of a US dollar. `model` None: unknown."""

    tokens_in: int
    tokens_out_max: int
    cost_micro_usd: int
    model: Model | None
    terms: Terms = UNBILLED


NO_ESTIMATE = Estimate(0, 0, 0, None)
_ORDINARY = frozenset({Operation.CHAT, Operation.RESPONSES})


def estimate(call: Call, ceiling: int | None, *, regional: bool = False) -> Estimate:
    """The worst case; `ceiling` is the output bound of the caller's token, if any; `regional`: a region is
    asked for.

    Raises CONTEXT_LENGTH_EXCEEDED where a known model's window cannot hold the input and the output
    that the call asks for.
    """
    model = find(call.model)
    document = call.document
    counted = count_input(dict(document) if document is not None else None, model)
    tokens_in = counted.total
    if call.operation in FREE_OF_CHARGE or document is None:
        _check_window(counted.text, 0, model)
        return Estimate(tokens_in, 0, 0, model)
    if call.operation in _ORDINARY and is_ordinary(document):
        tier = document.get("service_tier")
        asked = asked_output(call.operation, document)
        terms = _ordinary_terms(call.model, asked, ceiling, tier_of(tier))
    else:
        terms = _terms(call, document, tokens_in, ceiling, model)
    if call.operation is not Operation.EDITS:  # its model is policy's, not the caller's
        asked = terms.answers.asked or 0
        _check_window(0 if call.operation is Operation.EMBEDDINGS else counted.text, asked, model)
    out = min(terms.answers.total, MAX_AMOUNT)
    return Estimate(tokens_in, out, worst_cost(terms, tokens_in, out, regional=regional), model, terms)


def worst_cost(terms: Terms, tokens_in: int, tokens_out: int, *, regional: bool) -> int:
    """Micro-dollars at most for so many tokens: all audio where some may be, all written into the cache."""
    tokens = Tokens(
        tokens_in,
        tokens_out,
        written=tokens_in if terms.price.write > 1 else 0,
        heard=tokens_in if terms.hears else 0,
        spoken=tokens_out if terms.speaks else 0,
    )
    return min(cost(terms.price, tokens, terms.tier, regional=regional) + terms.fees, MAX_AMOUNT)


def _terms(
    call: Call, document: Mapping[str, object], tokens_in: int, ceiling: int | None, model: Model | None
) -> Terms:
    bounds = NO_ANSWERS
    if call.operation is not Operation.EMBEDDINGS:
        longest = (model or UNKNOWN).max_output
        bounds = answers(
            call.operation,
            document,
            ceiling,
            longest,
            lambda value: count_input({"input": value}, model).total,
        )
    keeps = keeps_longer(document)
    window = model.context_window if model is not None else LARGEST_WINDOW
    hidden, tier, tools = unseen(document), tier_of(document.get("service_tier")), fees_of(document)
    return Terms(
        billed=True,
        model=call.model,
        price=kept_longer(price_of(call.model)) if keeps else price_of(call.model),
        tier=Tier.STANDARD if tier is Tier.FLEX else tier,
        answers=bounds,
        unseen_in=max(0, window - tokens_in) if hidden.any else 0,
        apart=None if hidden.blind else hidden.images * image_at_most(model) + hidden.opaque,
        hears=hidden.audio,
        speaks=speaks(document),
        keeps=keeps,
        tools=tools,
        fees=fees_at_most(tools, document) if tools else 0,
    )


@lru_cache(maxsize=1024)
def _ordinary_terms(model: str | None, asked: int | None, ceiling: int | None, tier: Tier) -> Terms:
    """The same for a call that is text alone: they follow from these facts."""
    each = (find(model) or UNKNOWN).max_output if asked is None else asked
    return Terms(
        billed=True,
        model=model,
        price=price_of(model),
        tier=Tier.STANDARD if tier is Tier.FLEX else tier,
        answers=Answers(each if ceiling is None else min(each, ceiling), 1, 0, asked),
    )


def check_retired(model: Model | None, today: date) -> None:
    """Raises MODEL_RETIRED from the shutdown day on, naming the successor."""
    if model is None or model.shutdown is None or today < model.shutdown:
        return
    successor = f"Use {model.successor}." if model.successor else "See OpenAI's deprecations page."
    raise BrokerError(
        Kind.MODEL_RETIRED,
        f"OpenAI shut the model {model.name} down on {model.shutdown.isoformat()}.",
        remedy=successor,
        param="model",
        details={"successor": model.successor} if model.successor else {},
    )


@lru_cache(maxsize=256)
def deprecation_headers(model: Model | None) -> tuple[tuple[str, str], ...]:
    """`Deprecation` (RFC 9745) and `Sunset` (RFC 8594) for a model whose end is announced."""
    if model is None or model.shutdown is None:
        return ()
    sunset = ("sunset", format_datetime(_midnight(model.shutdown), usegmt=True))
    if model.announced is None:
        return (sunset,)
    return (("deprecation", f"@{int(_midnight(model.announced).timestamp())}"), sunset)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)


def _check_window(tokens_in: int, asked: int, model: Model | None) -> None:
    if model is None or tokens_in + asked <= model.context_window:
        return
    raise BrokerError(
        Kind.CONTEXT_LENGTH_EXCEEDED,
        f"The model's context window is {model.context_window} tokens; the call needs {tokens_in + asked} "
        f"({tokens_in} in, {asked} asked for the reply).",
        remedy="Shorten the input or ask for fewer tokens: chunk long documents, or search with embeddings.",
        param="messages",
        details={"counted": str(tokens_in + asked), "allowed": str(model.context_window)},
    )
