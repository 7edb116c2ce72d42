"""What is asked of and said about a token."""

from __future__ import annotations

from dataclasses import dataclass

MAX_TOKEN_SECONDS = 3600
"""The longest life of a token that is ever issued."""


@dataclass(frozen=True, slots=True)
class AccessTokenRequest:
    """What a caller asks for; policy decides what it gets. None and () mean: whatever policy grants.
    `purpose` is why it breaks the glass.
    """

    scope: tuple[str, ...] = ()
    ttl_seconds: int | None = None
    user: str | None = None
    max_tokens: int | None = None
    audience: str | None = None
    purpose: str | None = None


@dataclass(frozen=True, slots=True)
class TokenState:
    """What introspection tells (RFC 7662, 2.2). An inactive token has no other facts."""

    active: bool
    token_id: str | None = None
    subject: str | None = None
    scope: tuple[str, ...] = ()
    issued_at: int | None = None
    expires_at: int | None = None
    thumbprint: str | None = None
    user: str | None = None
