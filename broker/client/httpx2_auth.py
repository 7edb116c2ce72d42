"""The broker's token for clients of httpx2, which the OpenAI SDK brings from version 3 on; extra `httpx2`.

Knows: httpx2's protocol, which is httpx's with classes of its own. Must not know: how a token is had.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any

import httpx
import httpx2

from broker.client.auth import BrokerAuth
from broker.client.token import WHATEVER_IS_GRANTED, TokenRequest


class Httpx2BrokerAuth(httpx2.Auth):
    """`BrokerAuth` for `httpx2.Client(auth=…)` and `httpx2.AsyncClient(auth=…)`: the same guarantees."""

    def __init__(self, broker_url: str, wish: TokenRequest = WHATEVER_IS_GRANTED) -> None:
        self._auth = BrokerAuth(broker_url, wish)

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        """httpx2's protocol for `Client`."""
        flow = self._auth.sync_auth_flow(request)
        step: Any = next(flow)
        while True:
            response = yield _as_httpx2(step)
            try:
                step = flow.send(response)
            except StopIteration:
                return

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        """httpx2's protocol for `AsyncClient`."""
        flow = self._auth.async_auth_flow(request)
        step: Any = await anext(flow)
        while True:
            response = yield _as_httpx2(step)
            try:
                step = await flow.asend(response)
            except StopAsyncIteration:
                return


def _as_httpx2(step: Any) -> Any:
    """The caller's own request as it is; the request for a token, which is httpx's, as one of httpx2."""
    if not isinstance(step, httpx.Request):
        return step
    return httpx2.Request(
        step.method,
        str(step.url),
        headers=dict(step.headers),
        content=step.content,
        extensions=step.extensions,
    )
