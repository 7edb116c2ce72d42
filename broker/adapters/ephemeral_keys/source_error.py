"""Why no key came, as a value: no exception of a library, hence no request or answer, hangs on it.

Knows: the causes and what to do about each. Must not know: HTTP libraries, keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from broker.errors import BrokerError, store_unavailable

RETRY_SECONDS = 2.0


class ErrorCode(StrEnum):
    """One word per row of what can go wrong; logs and metrics show it."""

    UNREACHABLE = "unreachable"
    UNTRUSTED = "untrusted"
    SLOW = "slow"
    BUSY = "busy"
    BROKEN = "broken"
    GARBLED = "garbled"
    ELSEWHERE = "elsewhere"
    FORBIDDEN = "forbidden"
    REJECTED = "rejected"
    NO_ADMIN_KEY = "no_admin_key"
    NO_SUBJECT = "no_subject"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


UNDONE = frozenset(
    (
        ErrorCode.UNREACHABLE,
        ErrorCode.UNTRUSTED,
        ErrorCode.BUSY,
        ErrorCode.ELSEWHERE,
        ErrorCode.FORBIDDEN,
        ErrorCode.REJECTED,
        ErrorCode.NO_ADMIN_KEY,
    )
)
"""The causes after which the issuer has surely done nothing. After all others it may have."""

_TEXTS: dict[ErrorCode, tuple[str, str]] = {
    ErrorCode.UNREACHABLE: ("{} cannot be reached.", "Check its address, and the network between."),
    ErrorCode.UNTRUSTED: (
        "The TLS connection to {} fails.",
        "Check the CA in the configuration; nothing may stand between.",
    ),
    ErrorCode.SLOW: (
        "{} did not answer in time.",
        "Check the network between, and the issuer's status page.",
    ),
    ErrorCode.BUSY: ("{} takes no more requests for now (429).", "Raise its rate limit."),
    ErrorCode.BROKEN: ("{} failed (5xx).", "Look at the issuer's status page."),
    ErrorCode.GARBLED: (
        "{} answered what its reference does not describe.",
        "Check its address; nothing may stand between.",
    ),
    ErrorCode.ELSEWHERE: (
        "{} redirects, which is not followed.",
        "Put its own address into the configuration.",
    ),
    ErrorCode.FORBIDDEN: ("{} does not let the broker in.", "Check the credential it is asked with."),
    ErrorCode.REJECTED: (
        "{} rejects what it is asked.",
        "Check the credential's section in the configuration.",
    ),
    ErrorCode.REVOKED: ("The key was revoked.", "Wait for the next one."),
    ErrorCode.UNKNOWN: ("No such credential is configured.", "Correct its name in the policy."),
}


@dataclass(frozen=True, slots=True)
class SourceError:
    """What was refused and what to try; `retry_after` in seconds where the issuer itself named a time."""

    cause: ErrorCode
    message: str
    remedy: str
    retry_after: float | None = None

    def error(self) -> BrokerError:
        """A new CREDENTIAL_STORE_UNAVAILABLE; nothing is chained to it."""
        return store_unavailable(self.message, self.remedy, self.retry_after or RETRY_SECONDS)


def refused(
    cause: ErrorCode, who: str = "", remedy: str = "", retry_after: float | None = None
) -> SourceError:
    """The texts of `cause`, with the issuer `who` in its place. Never put there what somebody answered."""
    message, usual = _TEXTS[cause]
    return SourceError(cause, message.format(who), remedy or usual, retry_after)
