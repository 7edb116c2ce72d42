"""Metadata and headers: the bearer token, what goes on to upstream, what comes back as trailers.

Knows: header names. Must not know: what a token or a limit means.
"""

from __future__ import annotations

from collections.abc import Iterable

from broker.errors import BrokerError, Kind
from broker.listeners.forwarding import is_forwarded

Headers = tuple[tuple[str, str], ...]
Metadata = tuple[tuple[str, str | bytes], ...]

_FORWARDED = frozenset({"idempotency-key", "openai-beta", "traceparent", "tracestate", "x-client-request-id"})
_PASSED_ON = frozenset(
    {
        "deprecation",
        "openai-processing-ms",
        "openai-version",
        "retry-after",
        "retry-after-ms",
        "sunset",
        "x-request-id",
        "x-should-retry",
    }
)
_PASSED_ON_PREFIXES = ("x-ratelimit-", "x-broker-")


def bearer_of(metadata: Iterable[tuple[str, str | bytes]]) -> str | None:
    """The bearer token (RFC 6750, 2.1), or None. Raises BAD_REQUEST where `authorization` came twice:
    two readers could disagree about which one counts.
    """
    found = [value for name, value in metadata if name == "authorization"]
    if not found:
        return None
    if len(found) > 1:
        raise BrokerError(
            Kind.BAD_REQUEST,
            "The metadata authorization came twice.",
            param="authorization",
            remedy="Send `authorization: Bearer <token>` once.",
        )
    scheme, _, token = str(found[0]).partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def purpose_of(metadata: Iterable[tuple[str, str | bytes]]) -> str | None:
    """Why the caller breaks the glass, or None; what came twice is all of it."""
    found = [str(value) for name, value in metadata if name == "x-broker-purpose"]
    return ", ".join(found) if found else None


def forwarded_headers(metadata: Iterable[tuple[str, str | bytes]], prefixes: tuple[str, ...]) -> Headers:
    """The caller's metadata that upstream may see; everything else, the token first, stays here."""
    allowed = ("x-stainless-", *prefixes)
    forwarded = [
        (name, value)
        for name, value in metadata
        if (name in _FORWARDED or is_forwarded(name, allowed)) and isinstance(value, str)
    ]
    return tuple(forwarded)


def passed_on(headers: Headers) -> Metadata:
    """The reply's headers that the caller sees as trailers; values gRPC cannot carry are left out."""
    passed = [
        (name, value)
        for name, value in headers
        if (name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES))
        and value.isascii()
        and value.isprintable()
    ]
    return tuple(passed)
