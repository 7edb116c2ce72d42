"""The errors of a stream that upstream did not bring to its end.

Knows: what a caller may do then, and OpenAI's error events. Must not know: sockets, records, who is told.
"""

from __future__ import annotations

from broker.errors import BrokerError, Kind

_MOST = 1000  # characters of upstream's own words
_RATES = frozenset({"rate_limit_exceeded", "rate_limit_error", "slow_down"})
_OF_THE_KEY = frozenset({"invalid_api_key", "account_deactivated", "key_expired"})


def incomplete(message: str, delivered: int, kind: Kind = Kind.UPSTREAM_INTERRUPTED) -> BrokerError:
    """The stream ended early after `delivered` bytes. Its remedy and its `retry_safe` say the same."""
    again = "Send the same request again: nothing of this answer has reached you."
    kept = "What you received is incomplete; the same request begins a new answer, which is charged anew."
    return BrokerError(
        kind,
        message,
        remedy=kept if delivered else again,
        details={"bytes_delivered": str(delivered), "retry_safe": "false" if delivered else "true"},
    )


def recounted(error: BrokerError, delivered: int) -> BrokerError:
    """The same error where more or less has reached the caller than whoever raised it could know."""
    if "retry_safe" not in error.details:
        return error
    told = incomplete(error.message, delivered, error.kind)
    told.param = error.param
    told.details = {**error.details, **told.details}
    return told


def error_of(document: object) -> dict[str, object] | None:
    """The error that an event tells instead of a piece of the answer: `{"error": {…}}` of chat and
    completions, or `{"type": "error", …}` of `/v1/responses`.
    """
    if not isinstance(document, dict):
        return None
    if document.get("type") == "error":
        inner = document.get("error")
        return inner if isinstance(inner, dict) else document
    inner = document.get("error")
    if not inner or "choices" in document or str(document.get("type")).startswith("response."):
        return None
    return inner if isinstance(inner, dict) else {"message": inner}


def is_of_the_key(error: dict[str, object]) -> bool:
    """Whether upstream speaks of the broker's key, part of which it may echo."""
    return error.get("code") in _OF_THE_KEY


def told_by_upstream(error: dict[str, object]) -> BrokerError:
    """Upstream's error in the form of our own table: its words, its `param`, its `type` and `code` beside."""
    message, code = error.get("message"), error.get("code")
    kind = Kind.UPSTREAM_RATE_LIMITED if code in _RATES else Kind.UPSTREAM_INTERRUPTED
    words = message[:_MOST] if isinstance(message, str) else ""
    made = incomplete(words or "The upstream ended the stream with an error.", 0, kind)
    param = error.get("param")
    made.param = param if isinstance(param, str) else None
    for name in ("type", "code"):
        value = error.get(name)
        if isinstance(value, str):
            made.details[f"upstream_{name}"] = value[:_MOST]
    return made
