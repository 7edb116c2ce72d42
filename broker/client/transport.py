"""httpx transports whose connections present the certificate that is in the files now.

Knows: httpx. Must not know: tokens. A token is bound to the certificate it was asked with, so that calls and
token requests of one client must go through the same transport.
"""

from __future__ import annotations

import httpx

from broker.client.credentials import Credentials
from broker.client.renewal import Renewed


class RenewingTransport(httpx.BaseTransport):
    """For `httpx.Client(transport=…)`. A replaced certificate is presented from the next call on; calls under
    way end on their own connections.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._made = Renewed(credentials, lambda: httpx.HTTPTransport(verify=credentials.ssl_context()))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """httpx's protocol."""
        current = self._made.current()
        for old in self._made.outdated():
            old.close()
        return current.handle_request(request)

    def close(self) -> None:
        """Closes every connection."""
        for made in self._made.all():
            made.close()


class AsyncRenewingTransport(httpx.AsyncBaseTransport):
    """The same for `httpx.AsyncClient`."""

    def __init__(self, credentials: Credentials) -> None:
        self._made = Renewed(credentials, lambda: httpx.AsyncHTTPTransport(verify=credentials.ssl_context()))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """httpx's protocol."""
        current = self._made.current()
        for old in self._made.outdated():
            await old.aclose()
        return await current.handle_async_request(request)

    async def aclose(self) -> None:
        """Closes every connection."""
        for made in self._made.all():
            await made.aclose()
