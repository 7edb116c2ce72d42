"""One error for everything the broker refuses; it knows no wire codes.

The listeners hold one rendering each (HTTP and gRPC) and a test that every Kind has both.
"""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """The rows of the error table; the value is `ErrorInfo.reason`."""

    POLICY_DENIED = "POLICY_DENIED"
    CONTENT_BLOCKED = "CONTENT_BLOCKED"
    BUDGET_EXCEEDED = "BUDGET_EXCEEDED"
    RATE_LIMITED = "RATE_LIMITED"
    UPSTREAM_RATE_LIMITED = "UPSTREAM_RATE_LIMITED"
    CONTEXT_LENGTH_EXCEEDED = "CONTEXT_LENGTH_EXCEEDED"
    MODEL_RETIRED = "MODEL_RETIRED"
    TOKEN_MISSING = "TOKEN_MISSING"  # noqa: S105 - a reason, not a password
    TOKEN_INVALID = "TOKEN_INVALID"  # noqa: S105 - a reason, not a password
    TOKEN_EXPIRED = "TOKEN_EXPIRED"  # noqa: S105 - a reason, not a password
    TOKEN_REVOKED = "TOKEN_REVOKED"  # noqa: S105 - a reason, not a password
    TOKEN_NOT_YOURS = "TOKEN_NOT_YOURS"  # noqa: S105 - a reason, not a password
    CERTIFICATE_INVALID = "CERTIFICATE_INVALID"
    CREDENTIAL_STORE_UNAVAILABLE = "CREDENTIAL_STORE_UNAVAILABLE"
    POLICY_ENGINE_UNAVAILABLE = "POLICY_ENGINE_UNAVAILABLE"
    AUDIT_UNAVAILABLE = "AUDIT_UNAVAILABLE"
    STATE_UNAVAILABLE = "STATE_UNAVAILABLE"
    UPSTREAM_INTERRUPTED = "UPSTREAM_INTERRUPTED"
    UPSTREAM_UNAVAILABLE = "UPSTREAM_UNAVAILABLE"
    BAD_REQUEST = "BAD_REQUEST"
    NOT_FOUND = "NOT_FOUND"
    TOO_LARGE = "TOO_LARGE"
    UNSUPPORTED_ENCODING = "UNSUPPORTED_ENCODING"
    CALLER_GONE = "CALLER_GONE"
    OVERLOADED = "OVERLOADED"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    INTERNAL = "INTERNAL"


class BrokerError(Exception):
    """A refusal or denial with its remedy. Carries nothing the caller sent and nothing secret.

    `message` says what was wrong, `remedy` what to try, `param` which parameter (OpenAI's spelling),
    `rule` which policy or content rule, `retry_after` seconds, `details` further named facts
    (counted tokens, successor model …) that both renderings show. `unsent`: upstream has nothing of the call.
    """

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        remedy: str = "",
        param: str | None = None,
        rule: str | None = None,
        retry_after: float | None = None,
        details: dict[str, str] | None = None,
        unsent: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.remedy = remedy
        self.param = param
        self.rule = rule
        self.retry_after = retry_after
        self.details = details or {}
        self.unsent = unsent

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


def bad_request(message: str, remedy: str) -> BrokerError:
    """A BAD_REQUEST: what was wrong, and what to try."""
    return BrokerError(Kind.BAD_REQUEST, message, remedy=remedy)


def store_unavailable(message: str, remedy: str, retry_after: float) -> BrokerError:
    """A CREDENTIAL_STORE_UNAVAILABLE; `retry_after` in seconds. Neither text may hold anything of a key."""
    return BrokerError(Kind.CREDENTIAL_STORE_UNAVAILABLE, message, remedy=remedy, retry_after=retry_after)


class ConfigError(ValueError):
    """The configuration cannot be used; the message names each key, what is wrong and what to try."""
