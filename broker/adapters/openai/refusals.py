"""What the caller is told where upstream gave no answer that could be passed on.

Knows: the words. Must not know: how it came about.
"""

from __future__ import annotations

from broker.errors import BrokerError, Kind


def unavailable(message: str, *, unsent: bool = False) -> BrokerError:
    """No answer. `unsent`: upstream has nothing of the call, or refused it; otherwise it may have carried it
    out.
    """
    again = "Try again; the broker recorded the attempt."
    if not unsent:
        again = (
            "Upstream may have carried it out: trying again may cost twice. The broker recorded the attempts."
        )
    return BrokerError(
        Kind.UPSTREAM_UNAVAILABLE,
        message,
        remedy=again,
        retry_after=1,
        unsent=unsent,
    )


def interrupted(sent: int) -> BrokerError:
    """A stream ended before its end; `sent` bytes of it were passed on."""
    again = (
        "What you received is incomplete. Sending the request again makes another answer, at its full cost."
    )
    if sent == 0:
        again = "Send the same request again: you have received nothing of its answer."
    return BrokerError(
        Kind.UPSTREAM_INTERRUPTED,
        "The upstream broke the stream before its end.",
        remedy=again,
        details={"bytes_delivered": str(sent), "retry_safe": "true" if sent == 0 else "false"},
    )
