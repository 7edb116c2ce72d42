"""Addresses as settings hold them: where a listener is, and where another service is.

Knows: the form of an address. Must not know: any setting, sockets. A message quotes an address only where it
has the form of one: anything else could be a secret, pasted there.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

_HIGHEST_PORT = 65535
_ADDRESS = re.compile(r"(?P<host>[A-Za-z0-9._:%\[\]-]{0,255}):(?P<port>[0-9]{1,10})\Z")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)\Z")
_TRY = "give host:port, such as 127.0.0.1:8443 or [::1]:8443"


@dataclass(frozen=True, slots=True)
class HostPort:
    """Where a listener is; an empty host is every interface, port 0 a free one."""

    host: str
    port: int

    def overlaps(self, other: HostPort) -> bool:
        """Whether one of two listeners could not be opened beside the other."""
        mine, others = self._ip(), other._ip()
        if self.port == 0 or self.port != other.port:
            return False
        if mine is None or others is None:
            return self.host == other.host
        return mine == others or mine.is_unspecified or others.is_unspecified

    def _ip(self) -> IPv4Address | IPv6Address | None:
        named = {"": "0.0.0.0", "localhost": "127.0.0.1"}  # noqa: S104 - compared, not listened on
        try:
            return ip_address(named.get(self.host, self.host))
        except ValueError:
            return None


def host_port(text: str) -> HostPort:
    """The parts of `host:port`. Raises ValueError.

    >>> host_port("[::1]:8443")
    HostPort(host='::1', port=8443)
    """
    found = _ADDRESS.match(text)
    if found is None:
        raise ValueError(f"not an address host:port; {_TRY}")
    host, port = found["host"], int(found["port"])
    if port > _HIGHEST_PORT:
        raise ValueError(f"{text} has a port above {_HIGHEST_PORT}; {_TRY}")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not _is_host(bare):
        raise ValueError(f"{text} names no host; {_TRY}")
    return HostPort(bare, port)


def _is_host(host: str) -> bool:
    if ":" in host or not host:
        return not host or _is_ipv6(host)
    labels = host.removesuffix(".").split(".")
    return _is_ipv4(host) if labels[-1].isdigit() else all(map(_LABEL.match, labels))


def _is_ipv6(host: str) -> bool:
    try:
        return ip_address(host).version == 6  # noqa: PLR2004 - the version's name
    except ValueError:
        return False


def _is_ipv4(host: str) -> bool:
    try:
        socket.inet_aton(host)  # what the system takes, 127.1 included
    except OSError:
        return False
    return True


def _listen(text: str) -> str:
    host_port(text)
    return text


def _is_url(text: str, *schemes: str) -> bool:
    try:
        parts = urlsplit(text)
        valid_port = parts.port != 0  # raises where it is none
    except ValueError:
        return False
    clean = text.isprintable() and not any(map(str.isspace, text)) and "@" not in parts.netloc
    return parts.scheme in schemes and bool(parts.hostname) and valid_port and clean


def _http(text: str) -> str:
    if not _is_url(text, "http", "https"):
        raise ValueError("not a URL; give http:// or https:// and a host, such as https://api.openai.com/v1")
    return text


def _http_origin(text: str) -> str:
    if not _is_url(text, "http", "https") or urlsplit(text).path.strip("/"):
        raise ValueError("not an origin; give http://host:port or https://host:port")
    return text


def _https_origins(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Only https: a token must not cross the network in the clear."""
    for text in texts:
        parts = urlsplit(text) if _is_url(text, "https") else None
        if parts is None or parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError("give origins such as https://vault.example.org:8200")
    return texts


def _https_or_loopback(text: str) -> str:
    """https, or this machine: an admin key or a token must not cross the network in the clear."""
    loopback = _is_url(text, "http") and urlsplit(text).hostname in {"127.0.0.1", "::1"}
    if not (loopback or _is_url(text, "https")):
        raise ValueError("give an https URL (plain http is for 127.0.0.1 alone)")
    return text


def _http_each(named: dict[str, str]) -> dict[str, str]:
    for url in named.values():
        _http(url)
    return named


ListenAddress = Annotated[str, AfterValidator(_listen)]
HttpUrl = Annotated[str, AfterValidator(_http)]
HttpUrls = Annotated[dict[str, str], AfterValidator(_http_each)]
HttpOrigin = Annotated[str, AfterValidator(_http_origin)]
HttpsOrigins = Annotated[tuple[str, ...], AfterValidator(_https_origins)]
SafeUrl = Annotated[str, AfterValidator(_https_or_loopback)]
