"""Step 4: what a call can cost at worst, and whether its model can take it at all.

Knows: request parameters that bound the output. Must not know: limits or budgets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from email.utils import format_datetime
from functools import lru_cache
from math import ceil

from broker.catalog.count import count_input
from broker.catalog.models import UNKNOWN, Model, find
from broker.errors import BrokerError, Kind
from broker.model.call import Call
from broker.model.operation import Operation

_OUTPUT_CAPS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_GENERATING = frozenset(
    {
        Operation.CHAT,
        Operation.COMPLETIONS,
        Operation.EDITS,
        Operation.RESPONSES,
        Operation.RESPONSES_COMPACT,
    }
)
_COMPLETIONS_DEFAULT = 16  # OpenAI's documented default of max_tokens for /v1/completions


@dataclass(frozen=True, slots=True)
class Estimate:
    """Worst case of one call: tokens, and money in millionths of a US dollar. `model` None: unknown."""

    tokens_in: int
    tokens_out_max: int
    cost_micro_usd: int
    model: Model | None


def estimate(call: Call, ceiling: int | None) -> Estimate:
    """The worst case; `ceiling` is the output bound of the caller's token, if any.

    Raises CONTEXT_LENGTH_EXCEEDED where a known model's window cannot hold the input and the output
    that the call asks for.
    """
    model = find(call.model)
    document = call.document
    tokens_in = count_input(dict(document) if document is not None else None, model)
    if call.operation not in _GENERATING or document is None:
        _check_window(tokens_in if call.operation is not Operation.EMBEDDINGS else 0, 0, model)
        return Estimate(tokens_in, 0, cost(model, tokens_in, 0, 0), model)
    asked = _asked(document)
    if call.operation is not Operation.EDITS:  # its model is policy's, not the caller's
        _check_window(tokens_in, asked or 0, model)
    out = _worst_output(call.operation, document, asked, ceiling, model)
    return Estimate(tokens_in, out, cost(model, tokens_in, out, 0), model)


def cost(model: Model | None, tokens_in: int, tokens_out: int, cached: int) -> int:
    """Micro-dollars, rounded up. `cached` are those of `tokens_in` that upstream had cached."""
    prices = model or UNKNOWN
    fresh = max(0, tokens_in - cached)
    return ceil(fresh * prices.price_in + cached * prices.price_cached + tokens_out * prices.price_out)


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


def _asked(document: Mapping[str, object]) -> int | None:
    caps = [document.get(name) for name in _OUTPUT_CAPS]
    return max((cap for cap in caps if isinstance(cap, int)), default=None)


def _worst_output(
    operation: Operation,
    document: Mapping[str, object],
    asked: int | None,
    ceiling: int | None,
    model: Model | None,
) -> int:
    each = asked
    if each is None and operation is Operation.COMPLETIONS:
        each = _COMPLETIONS_DEFAULT
    if each is None:
        each = (model or UNKNOWN).max_output
    if ceiling is not None:
        each = min(each, ceiling)
    choices = max((n for n in (document.get("n"), document.get("best_of")) if isinstance(n, int)), default=1)
    prompts = document.get("prompt")
    many = isinstance(prompts, list) and prompts and not isinstance(prompts[0], int)
    return each * max(1, choices) * (len(prompts) if many and isinstance(prompts, list) else 1)


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
