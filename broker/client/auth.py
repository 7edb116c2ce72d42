"""Adds the broker's token to httpx requests and renews it; one generator drives sync and async clients.

Knows: when a token is asked for and where it goes. Must not know: the shape of the token endpoint.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncGenerator, Generator

import httpx

from broker.client.credentials import Credentials
from broker.client.token import WHATEVER_IS_GRANTED, Token, TokenCache, TokenRequest
from broker.errors import BrokerError, Kind

_ATTEMPTS = 2
_UNAUTHORIZED = 401
_OUTDATED = (Kind.TOKEN_EXPIRED, Kind.TOKEN_NOT_YOURS)


class BrokerAuth(httpx.Auth):
    """An `auth` for httpx clients whose TLS context holds the client certificate.

    The first request asks for a token, through the same client; all later ones share it until two
    thirds of its life are over. However many wait, one asks. A call that is refused with 401
    TOKEN_EXPIRED (clocks may differ) or TOKEN_NOT_YOURS (the certificate was replaced) is repeated once with
    a new token; nothing else is repeated.
    The token goes to the broker's origin and nowhere else.

    Safe for threads, and for the tasks of one event loop. Raises BrokerError where no token is given.
    """

    def __init__(self, broker_url: str, wish: TokenRequest = WHATEVER_IS_GRANTED) -> None:
        self._cache = TokenCache(broker_url, wish)
        self._purpose = wish.purpose
        self._threads = threading.Lock()
        self._tasks = asyncio.Lock()

    def _flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response | None, None]:
        """Yields `request`, with a token, to have it sent; and before it, where there is no fresh token,
        the request for one: the driver passes its response to the cache and sends None.
        """
        self._refuse_elsewhere(request.url)
        for _ in range(_ATTEMPTS):
            if self._cache.fresh() is None:
                yield self._cache.request()
            bearer = self._cache.bearer
            request.headers["authorization"] = bearer
            if self._purpose is not None:
                request.headers["x-broker-purpose"] = self._purpose
            response = yield request
            if response is None or not _says_outdated(response):
                return
            self._cache.outdate(bearer)

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """httpx's protocol for `Client`."""
        request.read()  # so that it can be sent again
        flow = self._flow(request)
        answer: httpx.Response | None = None
        while (step := _advance(flow, answer)) is not None:
            if step is request:
                answer = yield step
                continue
            with self._threads:
                if self._cache.fresh() is None:
                    response = yield step
                    response.read()
                    self._cache.accept(response)
            answer = None

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """httpx's protocol for `AsyncClient`."""
        await request.aread()
        flow = self._flow(request)
        answer: httpx.Response | None = None
        while (step := _advance(flow, answer)) is not None:
            if step is request:
                answer = yield step
                continue
            async with self._tasks:
                if self._cache.fresh() is None:
                    response = yield step
                    await response.aread()
                    self._cache.accept(response)
            answer = None

    def has_token(self) -> bool:
        """Whether `token` answers without asking anybody."""
        return self._cache.fresh() is not None

    def token(self, context: ssl.SSLContext) -> Token:
        """A fresh token for other transports than httpx, asked for where there is none; it may block.

        Raises BrokerError where it is refused, httpx.HTTPError where nobody answers.
        """
        with self._threads:
            token = self._cache.fresh()
            if token is not None:
                return token
            with httpx.Client(verify=context, trust_env=False) as http:
                return self._cache.accept(http.send(self._cache.request()))

    def _refuse_elsewhere(self, url: httpx.URL) -> None:
        broker = self._cache.origin
        if (url.scheme, url.host, url.port) != (broker.scheme, broker.host, broker.port):
            raise BrokerError(
                Kind.BAD_REQUEST,
                "This client holds a broker token and was asked to call another host.",
                remedy="Use a client of its own for other hosts.",
            )


def issue_token(broker_url: str, credentials: Credentials, wish: TokenRequest = WHATEVER_IS_GRANTED) -> Token:
    """Asks once for one token. Raises as `BrokerAuth.token` does."""
    return BrokerAuth(broker_url, wish).token(credentials.ssl_context())


def _advance(
    flow: Generator[httpx.Request, httpx.Response | None, None], answer: httpx.Response | None
) -> httpx.Request | None:
    """The flow's next request, or None at its end."""
    try:
        return flow.send(answer)
    except StopIteration:
        return None


def _says_outdated(response: httpx.Response) -> bool:
    """Read from the challenge (RFC 6750, 3), because the body of a stream may not have come yet."""
    challenge = response.headers.get("www-authenticate", "")
    return response.status_code == _UNAUTHORIZED and any(kind in challenge for kind in _OUTDATED)
