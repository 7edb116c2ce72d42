"""Where Vault is: the addresses of one cluster and how it is known.

Knows: https origins, file names. Must not know: requests, tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

_HTTPS_PORT = 443


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where Vault is and how it is known.

    `addresses` are https origins of one cluster: asked in this order, and the only ones a redirect may name.
    `ca` is a PEM file (absent: the public CAs), `certificate` the PEM files of a client certificate and key.
    Raises ValueError for an address that is not an https origin.
    """

    addresses: tuple[str, ...]
    namespace: str | None = None
    ca: Path | None = None
    certificate: tuple[Path, Path] | None = None

    def __post_init__(self) -> None:
        if not self.addresses:
            raise ValueError("Vault needs an address, e.g. https://vault.example.com:8200")
        object.__setattr__(self, "addresses", tuple(origin(each) for each in self.addresses))


def origin(url: str, *, path_allowed: bool = False) -> str:
    """`https://host:port` of an address. Raises ValueError."""
    parts = urlsplit(url)
    bare = path_allowed or (parts.path in {"", "/"} and not parts.query and not parts.fragment)
    if parts.scheme != "https" or not parts.hostname or parts.username is not None or not bare:
        raise ValueError(f"{url!r} is no address of Vault: give https://host:port and nothing else")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"https://{host}:{parts.port or _HTTPS_PORT}"
