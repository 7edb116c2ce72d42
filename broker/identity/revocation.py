"""The revocation set: tokens that may no longer act.

Knows: what is revoked and until when it must be remembered. Must not know: who revoked it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from broker.model.subject import Caller


class RevocationSet:
    """In-memory set; a revocation acts on the very next check, also of calls that are streaming.

    A token id is forgotten once the token has expired anyway. Used from one event loop.
    """

    def __init__(self, tokens: Iterable[tuple[str, int]] = (), unheard: Callable[[], str] = str) -> None:
        """`tokens` were revoked before this process began: (token id, unix second until when it counts).
        `unheard` says why others may be revoked by now, if they may.
        """
        self._tokens: dict[str, int] = dict(tokens)
        self.unheard = unheard
        self.revoked = 0
        """How many revocations there have been: who keeps answers forgets them when this changes."""

    def revoke_token(self, token_id: str, expires_at: int) -> None:
        """Refuses this token from now on. `expires_at` (unix seconds) bounds how long it is remembered."""
        self._tokens[token_id] = expires_at
        self.revoked += 1

    def covers(self, caller: Caller) -> bool:
        """Whether this caller is cut off."""
        return caller.token_id in self._tokens

    def has_token(self, token_id: str) -> bool:
        return token_id in self._tokens

    def forget_expired(self, now_seconds: int) -> None:
        """Drops tokens whose own expiry has passed."""
        self._tokens = {jti: end for jti, end in self._tokens.items() if end >= now_seconds - 60}
