"""The broker's own Vault token: had by login, renewed at two thirds of its life, replaced when it is refused.

Knows: how long a token lives. Must not know: keys, event loops. Blocking; used by many threads at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from hvac.api.auth_methods import Token as TokenApi  # type: ignore[import-untyped]

from broker.adapters.vault.errors import VaultError, VaultErrorCode, VaultRefusedError, refused
from broker.adapters.vault.hvac_adapter import HvacAdapter
from broker.adapters.vault.login import Login, Stamp
from broker.adapters.vault.transport import VaultTransport
from broker.model.secret import Secret
from broker.model.units import NS_PER_SECOND
from broker.ports import Clock

_RENEW_AT = 2 / 3
_WORTH_RENEWING = 1 / 2  # a shorter life than this part of the first one: Vault's maximum is near
_ENDLESS_SECONDS = 3600.0
_REST_SECONDS = 1.0
_YOUNG_SECONDS = 3.0


class _Auth(msgspec.Struct, frozen=True):
    client_token: str
    lease_duration: int
    renewable: bool


class _LoggedIn(msgspec.Struct, frozen=True):
    auth: _Auth


@dataclass(frozen=True, slots=True)
class _Grant:
    """A token, good for `seconds` from `since` (monotonic ns); `first_seconds` is what login gave."""

    token: Secret = field(repr=False)
    since: int
    seconds: float
    first_seconds: float
    renewable: bool

    def age(self, now: int) -> float:
        return (now - self.since) / NS_PER_SECOND

    def good(self, now: int) -> bool:
        return 0 <= self.age(now) < self.seconds


@dataclass(frozen=True, slots=True)
class _Failed:
    refusal: VaultError
    again_at: int
    stamp: Stamp


class OwnToken:
    """All methods raise RefusedError."""

    def __init__(self, transport: VaultTransport, login: Login, clock: Clock) -> None:
        self._transport = transport
        self._login = login
        self._clock = clock
        self._lock = threading.Lock()
        self._grant: _Grant | None = None
        self._failed: _Failed | None = None

    def current(self, deadline: float) -> Secret:
        """A token that is good as far as the clock tells; logs in where there is none."""
        with self._turn(deadline):
            grant = self._grant
            if grant is None or not grant.good(self._clock.monotonic_ns()):
                grant = self._log_in(deadline)
            return grant.token

    def replace(self, token: Secret, deadline: float) -> Secret | None:
        """Another token for one that Vault has just refused; None where that would be no use: the refused one
        is new, so it is the path that is forbidden, not the token that is dead.
        """
        with self._turn(deadline):
            grant = self._grant
            if grant is not None and grant.token is not token:
                return grant.token  # another thread was faster
            if grant is not None and 0 <= grant.age(self._clock.monotonic_ns()) < _YOUNG_SECONDS:
                return None
            fresh = self._log_in(deadline).token
        self._end(token, deadline)
        return fresh

    def keep(self, deadline: float) -> float:
        """Renews the token or logs in, where that is due; returns the seconds until it will be."""
        with self._turn(deadline):
            grant = self._grant
            now = self._clock.monotonic_ns()
            if grant is None or not grant.good(now):
                grant = self._log_in(deadline)
            elif grant.age(now) >= grant.seconds * _RENEW_AT:
                grant = self._renewed(grant, deadline)
            left = grant.seconds * _RENEW_AT - grant.age(self._clock.monotonic_ns())
        return min(max(left, _REST_SECONDS), _ENDLESS_SECONDS)

    def close(self, deadline: float) -> None:
        """Revokes the token: nobody shall find it useful after us."""
        with self._turn(deadline):
            grant, self._grant = self._grant, None
        if grant is not None:
            self._end(grant.token, deadline)

    @contextmanager
    def _turn(self, deadline: float) -> Iterator[None]:
        """One login or renewal at a time; the others wait, but not for ever."""
        if not self._lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise refused(VaultErrorCode.SLOW)
        try:
            yield
        finally:
            self._lock.release()

    def _log_in(self, deadline: float) -> _Grant:
        now = self._clock.monotonic_ns()
        stamp = self._login.stamp()
        failed = self._failed
        if failed is not None and now < failed.again_at and failed.stamp == stamp:
            raise VaultRefusedError(failed.refusal)
        try:
            auth = _parsed(self._login.login(self._transport, deadline))
        except VaultRefusedError as error:
            refusal = error.refusal
            rest = self._login.rest_seconds if refusal.cause is VaultErrorCode.NO_LOGIN else _REST_SECONDS
            self._failed = _Failed(refusal, self._clock.monotonic_ns() + int(rest * NS_PER_SECOND), stamp)
            raise
        self._failed = None
        seconds = auth.lease_duration or _ENDLESS_SECONDS * 2  # 0: it never expires
        self._grant = _Grant(Secret(auth.client_token), now, seconds, seconds, auth.renewable)
        return self._grant

    def _renewed(self, grant: _Grant, deadline: float) -> _Grant:
        """The same token with a new life, or another where this one has come to its end."""
        if not grant.renewable:
            return self._log_in(deadline)
        now = self._clock.monotonic_ns()
        try:
            auth = _parsed(TokenApi(HvacAdapter(self._transport, grant.token, deadline)).renew_self())
        except VaultRefusedError as error:
            if error.refusal.cause not in {VaultErrorCode.FORBIDDEN, VaultErrorCode.REJECTED}:
                raise
            return self._log_in(deadline)
        if auth.lease_duration < grant.first_seconds * _WORTH_RENEWING:
            return self._log_in(deadline)
        self._grant = _Grant(grant.token, now, auth.lease_duration, grant.first_seconds, auth.renewable)
        return self._grant

    def _end(self, token: Secret, deadline: float) -> None:
        """Best effort: a token that cannot be revoked now expires by itself."""
        try:
            TokenApi(HvacAdapter(self._transport, token, deadline)).revoke_self()
        except VaultRefusedError:
            return


def _parsed(answer: dict[str, Any]) -> _Auth:
    try:
        auth = msgspec.convert(answer, _LoggedIn).auth
    except msgspec.ValidationError:
        auth = None
    if auth is None or not auth.client_token.isascii() or not auth.client_token.isprintable():
        raise refused(VaultErrorCode.GARBLED, " to a login")
    return auth
