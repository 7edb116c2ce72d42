"""The REST client: opa-python-client's, with a session of our own.

Knows: connections, TLS, sizes. Must not know: decisions. The library's session would ask the system's CAs,
follow redirects and read answers of any size; requests are its own, retries are off.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from opa_client.opa_async import AsyncOpaClient

LONGEST_ANSWER = 256 * 1024  # bytes
_OK = 200
_HEADERS = {"content-type": "application/json"}


class OpaFaultError(Exception):
    """OPA did not answer as its REST API says; the text names the fault and quotes nothing."""


@dataclass(frozen=True, slots=True)
class Sidecar:
    """Where OPA is and how to trust it: `url` is http or https; `ca` its CA; `certificate` and `key` ours."""

    url: str
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


class OpaClient(AsyncOpaClient):  # type: ignore[misc]  # the library has no types
    """One connection pool. Use it from one event loop, after `open`."""

    def __init__(self, sidecar: Sidecar, deadline_seconds: float) -> None:
        """Raises ValueError where the URL is none of http and https with a host, and OSError where a PEM file
        cannot be used. Blocking.
        """
        parts = urlsplit(sidecar.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
            raise ValueError(f"{sidecar.url} is not http://host:port or https://host:port")
        secure = parts.scheme == "https"
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        port = parts.port or (443 if secure else 80)
        super().__init__(host=host, port=port, ssl=secure, retries=0, timeout=deadline_seconds)
        self._tls = _tls(sidecar) if secure else False

    async def _init_session(self) -> None:
        """The library's hook: a session without proxies, cookies or the environment."""
        self._connector = aiohttp.TCPConnector(ssl=self._tls, limit=0, keepalive_timeout=30)
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            timeout=aiohttp.ClientTimeout(total=self.timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
        )

    async def open(self) -> None:
        """Opens the pool; connects nowhere yet."""
        await self._init_session()

    async def ask(self, path: str, body: bytes) -> bytes:
        """The body of OPA's answer to `POST /v1/data/<path>`. Raises OpaFaultError, aiohttp.ClientError or
        TimeoutError. `path` is one of ours: nothing that a caller sent is ever part of it.
        """
        url = f"{self.root_url}/data/{path}?provenance=true"
        async with self._request("POST", url, data=body, headers=_HEADERS, allow_redirects=False) as response:
            if response.status != _OK:
                raise OpaFaultError(f"it answered with status {response.status}")
            return await _body(response)


def _tls(sidecar: Sidecar) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=sidecar.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if sidecar.certificate is not None:
        try:
            context.load_cert_chain(sidecar.certificate, sidecar.key)
        except FileNotFoundError as error:  # ssl does not say which
            files = f"{sidecar.certificate} or {sidecar.key}"
            raise FileNotFoundError(error.errno, error.strerror, files) from None
    return context


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """At most LONGEST_ANSWER bytes; what is longer ends the connection."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > LONGEST_ANSWER:
            response.close()
            raise OpaFaultError(f"its answer is longer than {LONGEST_ANSWER} bytes")
    return bytes(body)
