"""One JSON question to one issuer over verified TLS, with a deadline.

Knows: HTTP and JSON. Must not know: what is asked. No proxy and no .netrc of the environment is trusted,
redirects are not followed, and what went wrong comes back as a value: an exception of the HTTP library would
bring the request along, and with it the credential.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from broker.adapters.ephemeral_keys.source_error import ErrorCode, SourceError, refused
from broker.model.secret import Secret
from broker.shaping.retry_after import rest_of

SECONDS = 10.0
_LARGEST_BYTES = 1_048_576
_LONGEST_REST_SECONDS = 60.0
_CONNECTIONS = 4
_BUSY, _BROKEN = 429, 500
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class JsonResponse:
    """What came back: neither a redirect, nor 429, nor 5xx. The body may hold a key."""

    status: int
    body: bytes = field(repr=False)

    @property
    def good(self) -> bool:
        return httpx.codes.is_success(self.status)

    def read(self, wanted: type[T], who: str) -> T | SourceError:
        """The body as a value of a msgspec type, or GARBLED."""
        try:
            return msgspec.json.decode(self.body, type=wanted)
        except msgspec.MsgspecError:
            pass
        return refused(ErrorCode.GARBLED, who)


class JsonHttpClient:
    """Asks at `url` and paths appended to it. Use it from one event loop. Raises ValueError for a `url` that
    is neither https nor on this machine, and OSError where `ca` cannot be read.
    """

    def __init__(
        self,
        who: str,
        url: str,
        *,
        ca: Path | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        if not _is_safe(url):
            raise ValueError("not an https URL (plain http is for loopback addresses alone)")
        self.who = who
        self._url = url.rstrip("/")
        self._under_way: set[asyncio.Future[JsonResponse | SourceError]] = set()
        self._client = httpx.AsyncClient(
            verify=ssl.create_default_context(cafile=ca),
            trust_env=False,
            follow_redirects=False,
            timeout=SECONDS,
            limits=httpx.Limits(max_connections=_CONNECTIONS, keepalive_expiry=30.0),
            headers={"accept": "application/json", "accept-encoding": "identity"},
            transport=transport,
        )

    async def ask(
        self,
        method: str,
        path: str,
        *,
        document: Mapping[str, object] | None = None,
        bearer: Secret | None = None,
    ) -> JsonResponse | SourceError:
        """Answers within SECONDS. Never raises; nothing is tried twice."""
        asked = asyncio.ensure_future(self._asked(method, path, document, bearer))
        self._under_way.add(asked)
        asked.add_done_callback(self._under_way.discard)
        try:
            await asyncio.wait({asked}, timeout=SECONDS)
        finally:
            asked.cancel()
        if not asked.done():
            return refused(ErrorCode.SLOW, self.who)
        failure = asked.exception()
        return asked.result() if failure is None else refused(_cause_of(failure), self.who)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _asked(
        self, method: str, path: str, document: Mapping[str, object] | None, bearer: Secret | None
    ) -> JsonResponse | SourceError:
        headers = {} if bearer is None else {"authorization": f"Bearer {bearer.reveal()}"}
        body = None if document is None else msgspec.json.encode(document)
        if body is not None:
            headers["content-type"] = "application/json"
        async with self._client.stream(method, self._url + path, content=body, headers=headers) as reply:
            if reply.is_redirect:
                return refused(ErrorCode.ELSEWHERE, self.who)
            if reply.status_code == _BUSY or reply.status_code >= _BROKEN:
                cause = ErrorCode.BUSY if reply.status_code == _BUSY else ErrorCode.BROKEN
                rest = rest_of(reply.headers.get("retry-after"), _LONGEST_REST_SECONDS)
                return refused(cause, self.who, retry_after=rest)
            chunks = bytearray()
            async for chunk in reply.aiter_raw():
                chunks += chunk
                if len(chunks) > _LARGEST_BYTES:
                    return refused(ErrorCode.GARBLED, self.who)
            return JsonResponse(reply.status_code, bytes(chunks))


def _is_safe(url: str) -> bool:
    parts = urlsplit(url)
    if parts.scheme == "https":
        return bool(parts.hostname)
    try:
        return parts.scheme == "http" and ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


def _cause_of(failure: BaseException) -> ErrorCode:
    """The cause of what the HTTP library raised; what nobody foresaw counts as garbled."""
    if isinstance(failure, httpx.TimeoutException):
        return ErrorCode.SLOW
    if not isinstance(failure, httpx.ConnectError):
        return ErrorCode.BROKEN if isinstance(failure, httpx.TransportError) else ErrorCode.GARBLED
    cause: BaseException | None = failure
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    return ErrorCode.UNREACHABLE if cause is None else ErrorCode.UNTRUSTED
