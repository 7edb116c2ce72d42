"""The token endpoint as values: what is asked, what comes back, and when to ask again.

Knows: RFC 6749, sections 4.4 and 5. Must not know: who sends the request; it does no I/O.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from broker.errors import BrokerError, Kind

_RENEW_AFTER = 2 / 3
_OK = 200
_TIMEOUT = httpx.Timeout(10)


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What to ask for; whatever is left out is for policy to say. `ttl` is in seconds. `purpose` is why the
    glass is broken: it goes with every call, and into the record.
    """

    scope: str = ""
    user: str | None = None
    ttl: int | None = None
    max_tokens: int | None = None
    audience: str | None = None
    purpose: str | None = None

    def form(self) -> dict[str, str]:
        """The fields of `POST /oauth/token` (RFC 6749, 4.4.2)."""
        asked = {
            "scope": self.scope or None,
            "audience": self.audience,
            "user": self.user,
            "ttl": self.ttl,
            "max_tokens": self.max_tokens,
            "purpose": self.purpose,
        }
        return {"grant_type": "client_credentials"} | {
            name: str(value) for name, value in asked.items() if value is not None
        }


WHATEVER_IS_GRANTED = TokenRequest()


@dataclass(frozen=True, slots=True)
class Token:
    """An access token, good for `expires_in` seconds from when it was answered; `scope` is what it may do."""

    value: str = field(repr=False)
    expires_in: int
    scope: str


class TokenCache:
    """Keeps one token until two thirds of its life are over. Does no I/O: it makes the request for a
    token and reads the response; who holds it sends, and sees to it that one asks at a time.
    """

    def __init__(
        self, broker_url: str, wish: TokenRequest, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.origin = httpx.URL(broker_url)
        self._wish = wish
        self._now = now
        self._token: Token | None = None
        self._renew_at = 0.0

    def fresh(self) -> Token | None:
        """The token, or None where it is time to ask."""
        return self._token if self._now() < self._renew_at else None

    @property
    def bearer(self) -> str:
        """The `authorization` of the token last accepted, fresh or not; empty before the first."""
        return f"Bearer {self._token.value}" if self._token is not None else ""

    def request(self) -> httpx.Request:
        """The request for a token."""
        url, patience = self.origin.join("/oauth/token"), {"timeout": _TIMEOUT.as_dict()}
        return httpx.Request("POST", url, data=self._wish.form(), extensions=patience)

    def accept(self, response: httpx.Response) -> Token:
        """Reads the answer and keeps its token. Raises BrokerError as `parse` does."""
        self._token = token = parse(response)
        self._renew_at = self._now() + token.expires_in * _RENEW_AFTER
        return token

    def outdate(self, bearer: str) -> None:
        """The token of `bearer` is no longer fresh; another one that came meanwhile is."""
        if self.bearer == bearer:
            self._renew_at = 0.0


def parse(response: httpx.Response) -> Token:
    """The token of a reply whose body was read (RFC 6749, 5.1).

    Raises BrokerError with the broker's own kind and words where it refused, INTERNAL where the reply is
    no token reply at all.
    """
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise _not_a_broker(response.status_code)
    if response.status_code != _OK:
        raise _refusal(response.status_code, body)
    value, expires_in, scope = body.get("access_token"), body.get("expires_in"), body.get("scope", "")
    if not (isinstance(value, str) and isinstance(expires_in, int) and isinstance(scope, str)):
        raise _not_a_broker(response.status_code)
    return Token(value, expires_in, scope)


def _refusal(status: int, body: dict[str, object]) -> BrokerError:
    reason, words = body.get("reason"), body.get("error_description")
    if not isinstance(words, str):
        error = body.get("error")
        words = error.get("message") if isinstance(error, dict) else None
        reason = error.get("reason") if isinstance(error, dict) else reason
    if not isinstance(words, str):
        return _not_a_broker(status)
    rule = body.get("rule")
    kind = Kind(reason) if isinstance(reason, str) and reason in set(Kind) else Kind.INTERNAL
    return BrokerError(kind, words, rule=rule if isinstance(rule, str) else None)


def _not_a_broker(status: int) -> BrokerError:
    return BrokerError(
        Kind.INTERNAL,
        f"The token endpoint answered {status} without a token or an OAuth error.",
        remedy="Check that the URL is the broker's, without a path.",
    )
