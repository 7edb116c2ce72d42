"""What the caller is told where upstream gave no answer that could be passed on.

Knows: the words. Must not know: how it came about.
"""

from __future__ import annotations

from broker.errors import BrokerError, Kind
from broker.shaping.incomplete import incomplete


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
    return incomplete("The upstream broke the stream before its end.", sent)
