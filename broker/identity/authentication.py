"""Step 2: the peer of this connection and its bearer token → Caller. Every check runs on every call.

Knows: the order of the checks. Must not know: which listener asks.
"""

from __future__ import annotations

from collections.abc import Callable

from broker.errors import BrokerError, Kind
from broker.identity.certificate import check_time
from broker.identity.revocation import RevocationSet
from broker.identity.token import Claims, TokenVerifier
from broker.model.subject import Caller, Peer, Subject

SKEW_SECONDS = 30
_KEPT = 4096


class Authentication:
    """Verifies that the token is ours, current, not revoked, and bound to this connection's certificate."""

    def __init__(self, tokens: TokenVerifier, revocations: RevocationSet) -> None:
        self._tokens = tokens
        self._revocations = revocations
        self._callers: dict[tuple[Claims, str], Caller] = {}

    def authenticate(self, peer: Peer, bearer: str | None, now_seconds: int) -> Caller:
        """The caller. Raises CERTIFICATE_INVALID, one of the TOKEN_* kinds, or STATE_UNAVAILABLE where nobody
        knows what is revoked.
        """
        check_time(peer, now_seconds)
        if not bearer:
            raise _refused(Kind.TOKEN_MISSING, "No bearer token came with the call.")
        claims = self._tokens.verify(bearer)
        if claims.issued_at > now_seconds + SKEW_SECONDS:
            raise _refused(Kind.TOKEN_INVALID, "The bearer token was issued in the future.")
        if claims.not_before > now_seconds + SKEW_SECONDS:  # RFC 7519, 4.1.5
            raise _refused(Kind.TOKEN_INVALID, "The bearer token is not valid yet.")
        caller = self._callers.get((claims, peer.cert_sha256)) or self._bound(claims, peer)
        self.recheck(caller, now_seconds)
        if unheard := self._revocations.unheard():
            raise _unheard(unheard)
        return caller

    def recheck(self, caller: Caller, now_seconds: int) -> None:
        """The checks that can change while a call streams: expiry and revocation."""
        check_time(caller.peer, now_seconds)
        if now_seconds >= caller.expires_at:
            raise _refused(Kind.TOKEN_EXPIRED, "The bearer token has expired.")
        if self._revocations.covers(caller):
            raise _refused(Kind.TOKEN_REVOKED, "The bearer token has been revoked.")

    def rechecking(self, caller: Caller) -> Callable[[int], None]:
        """`recheck` for one caller, again and again: it looks where the second or what is revoked changed."""
        looked = (-1, -1)

        def recheck(now_seconds: int) -> None:
            nonlocal looked
            now = now_seconds, self._revocations.revoked
            if now != looked:
                self.recheck(caller, now_seconds)
                looked = now

        return recheck

    def _bound(self, claims: Claims, peer: Peer) -> Caller:
        caller = _caller(claims, peer)
        if len(self._callers) >= _KEPT:
            self._callers.clear()
        self._callers[claims, peer.cert_sha256] = caller
        return caller


def _caller(claims: Claims, peer: Peer) -> Caller:
    if claims.thumbprint != peer.thumbprint or claims.subject != peer.spiffe_id:
        raise _refused(Kind.TOKEN_NOT_YOURS, "The bearer token is bound to another client certificate.")
    return Caller(
        subject=Subject(claims.subject, claims.tenant),
        peer=peer,
        token_id=claims.token_id,
        scope=claims.scope,
        expires_at=claims.expires_at,
        user=claims.user,
        max_tokens=claims.max_tokens,
    )


def _unheard(why: str) -> BrokerError:
    remedy = "Nothing was sent or charged; try again in a moment."
    told = f"Whether the bearer token was revoked is not known: {why}."
    return BrokerError(Kind.STATE_UNAVAILABLE, told, remedy=remedy, retry_after=1.0)


def _refused(kind: Kind, message: str) -> BrokerError:
    return BrokerError(
        kind,
        message,
        remedy="Get a token for the certificate of this connection from POST /oauth/token or IssueToken.",
    )
