"""The connections to one Vault cluster: TLS, redirects, deadlines, the next node. What fails, is refused.

Knows: requests and its exceptions. Must not know: what is asked for, tokens. Blocking; used by many threads.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, NewConnectionError, ReadTimeoutError

from broker.adapters.vault.cluster import Cluster, origin
from broker.adapters.vault.errors import VaultErrorCode, VaultRefusedError, refused
from broker.shaping.retry_after import rest_of

_CONNECT_SECONDS = 0.8  # leaves time for the next address
_MARGIN_SECONDS = 0.1
_MAX_BODY = 1024 * 1024
_CHUNK = 64 * 1024
_HOPS = 2
_CONNECTIONS = 8
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_LONGEST_REST_SECONDS = 3.0  # calls are not refused for longer after Vault is back
_UNAVAILABLE = 503


@dataclass(frozen=True, slots=True)
class VaultRequest:
    """`path` begins with /v1/; `deadline` is in seconds of time.monotonic."""

    method: str
    path: str
    headers: dict[str, str] = field(repr=False)
    json: object = field(repr=False)
    deadline: float


@dataclass(frozen=True, slots=True)
class VaultResponse:
    """Whatever status came, with at most 1 MiB of body."""

    status: int
    body: bytes = field(repr=False)
    location: str | None
    retry_after: float | None


class VaultTransport:
    """The connections to a cluster; used by many threads at once."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.namespace = cluster.namespace
        self._preferred = 0
        self.session = _opened(cluster)

    def reconnect(self) -> None:
        """Later requests use new connections, and the certificate files as they are by then."""
        old, self.session = self.session, _opened(self._cluster)
        old.close()

    def close(self) -> None:
        self.session.close()

    def send(self, request: VaultRequest) -> VaultResponse:
        """The answer of the first node that can give one. Raises RefusedError."""
        last = refused(VaultErrorCode.UNREACHABLE)
        for index in self._order():
            try:
                answer = self._follow(self._cluster.addresses[index], request)
            except VaultRefusedError as error:
                if error.refusal.cause is not VaultErrorCode.UNREACHABLE:
                    raise
                last = error
                continue
            if answer.status != _UNAVAILABLE:
                self._preferred = index
                return answer
            last = refused(VaultErrorCode.SEALED)
        raise last

    def _order(self) -> Iterator[int]:
        """The node that answered last comes first."""
        count = len(self._cluster.addresses)
        return ((self._preferred + step) % count for step in range(count))

    def _follow(self, node: str, request: VaultRequest) -> VaultResponse:
        """Standbys answer 307. requests would carry the token to wherever Location says; here only the origin
        is taken from it, where it is one of the cluster's: method, path and body stay what they were.
        """
        for _ in range(_HOPS + 1):
            answer = self._exchange(node, request)
            if answer.status not in _REDIRECTS:
                return answer
            node = self._known_node(answer.location)
        raise refused(VaultErrorCode.BROKEN, ", its nodes redirect to each other")

    def _known_node(self, location: str | None) -> str:
        try:
            named = origin(location or "", path_allowed=True)
        except ValueError:
            named = ""
        if named not in self._cluster.addresses:
            raise refused(VaultErrorCode.ELSEWHERE)
        return named

    def _exchange(self, node: str, request: VaultRequest) -> VaultResponse:
        left = request.deadline - time.monotonic()
        if left <= 0:
            raise refused(VaultErrorCode.SLOW)
        try:
            with self.session.request(
                request.method,
                node + request.path,
                headers=request.headers,
                json=request.json,
                timeout=(min(left, _CONNECT_SECONDS), left),
                allow_redirects=False,
                stream=True,
            ) as response:
                body = _read(response, request.deadline)
                headers = response.headers
                rest = rest_of(headers.get("retry-after"), _LONGEST_REST_SECONDS)
                return VaultResponse(response.status_code, body, headers.get("location"), rest)
        except (OSError, HTTPError) as error:  # requests' exceptions are OSErrors
            cause = _cause(error, request)
        raise refused(cause)


def _opened(cluster: Cluster) -> requests.Session:
    session = _Session()
    session.trust_env = False  # no proxies, no netrc, no CA bundle from the environment
    session.verify = str(cluster.ca) if cluster.ca else True
    if cluster.certificate:
        session.cert = (str(cluster.certificate[0]), str(cluster.certificate[1]))
    session.headers["Accept-Encoding"] = "identity"
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.mount("https://", _Tls13())
    return session


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """None. requests would parse Location, and prepare to go there with the token, even where it is told
        not to follow.
        """


class _Tls13(HTTPAdapter):
    """TLS 1.3 only, and no retries of its own."""

    def __init__(self) -> None:
        super().__init__(pool_maxsize=_CONNECTIONS, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        super().init_poolmanager(*args, ssl_context=context, **kwargs)


def _read(response: requests.Response, deadline: float) -> bytes:
    """The whole body, as long as it is small and comes in time."""
    body = bytearray()
    while chunk := response.raw.read1(_CHUNK, decode_content=False):
        body += chunk
        if len(body) > _MAX_BODY:
            raise refused(VaultErrorCode.GARBLED)
        if time.monotonic() > deadline:
            raise refused(VaultErrorCode.SLOW)
    return bytes(body)


def _cause(error: Exception, request: VaultRequest) -> VaultErrorCode:
    """A POST that broke off may have been acted upon: only where no connection was made is it UNREACHABLE."""
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return VaultErrorCode.UNREACHABLE
    if isinstance(error, requests.exceptions.SSLError):
        return VaultErrorCode.UNTRUSTED
    if isinstance(error, requests.exceptions.ConnectionError):
        reason = getattr(error.args[0], "reason", None) if error.args else None
        unmade = request.method.lower() == "get" or isinstance(reason, NewConnectionError)
        return VaultErrorCode.UNREACHABLE if unmade else VaultErrorCode.BROKEN
    if isinstance(error, (requests.exceptions.Timeout, ReadTimeoutError)):
        return VaultErrorCode.UNREACHABLE if _time_left(request) else VaultErrorCode.SLOW
    return VaultErrorCode.UNTRUSTED if isinstance(error, OSError) else VaultErrorCode.BROKEN


def _time_left(request: VaultRequest) -> bool:
    """A time-out before the deadline was that of the TLS handshake: nothing has been asked yet."""
    return request.deadline - time.monotonic() > _MARGIN_SECONDS
