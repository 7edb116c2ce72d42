"""Who is at the other end: the peer's certificate, and the subject acting through it."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Peer:
    """The client certificate of one live connection (SPIFFE X.509-SVID, section 2).

    `not_before` and `not_after` are unix seconds; `cert_sha256` is the hex SHA-256 of the DER bytes.
    """

    spiffe_id: str
    cert_sha256: str
    not_before: int
    not_after: int

    @property
    def thumbprint(self) -> str:
        """The `x5t#S256` confirmation value of RFC 8705, section 3.1: unpadded base64url."""
        return _thumbprint(self.cert_sha256)


@dataclass(frozen=True, slots=True)
class Subject:
    """The SPIFFE ID that acts. `actor_chain` lists those it acts for, nearest first (RFC 8693, 4.1)."""

    id: str
    tenant: str
    actor_chain: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Grant:
    """What an allowed token confers: the claims that policy agreed to.

    `scope` entries are `operation` or `operation:model-pattern`; `user` and `max_tokens` bind every
    call made with the token when they are not None.
    """

    scope: tuple[str, ...]
    ttl_seconds: int
    user: str | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller: the subject, the certificate it came with, and its verified token."""

    subject: Subject
    peer: Peer
    token_id: str
    scope: tuple[str, ...]
    expires_at: int
    user: str | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A minted token, its lifetime in seconds and what it may do. Its `repr` never shows the token."""

    token: str = field(repr=False)
    token_id: str
    expires_in: int
    scope: tuple[str, ...]


@lru_cache(maxsize=1024)
def _thumbprint(cert_sha256: str) -> str:
    return base64.urlsafe_b64encode(bytes.fromhex(cert_sha256)).rstrip(b"=").decode()
