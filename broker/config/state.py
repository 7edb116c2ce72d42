"""Settings of what all processes, and all machines, of a deployment must agree on.

Knows: names, defaults, limits. Must not know: adapters.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints

from broker.config.addresses import host_port
from broker.config.section import Section

PLAIN, TLS = frozenset({"valkey", "redis"}), frozenset({"valkeys", "rediss"})
_TRY = "give one such as valkeys://broker@valkey.example.org:6379/0"
_LOOPBACK = frozenset({"127.0.0.1", "::1"})
_DATABASES = 16


def _store(text: str) -> str:
    """With TLS, or on this machine: what is taken of limits must not be changed on the way."""
    try:
        parts = urlsplit(text)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise ValueError(f"not a URL; {_TRY}") from None
    if parts.scheme not in PLAIN | TLS or not host or port == 0 or parts.query or parts.fragment:
        raise ValueError(f"not a URL of Valkey or Redis; {_TRY}")
    if parts.password is not None:
        raise ValueError("a password is in it; put that into the file of state.password_file")
    database = parts.path.strip("/") or "0"
    if not database.isdecimal() or int(database) >= _DATABASES:
        raise ValueError(f"its path is no number of a database; {_TRY}")
    if parts.scheme in PLAIN and host not in _LOOPBACK:
        raise ValueError("without TLS it may be on 127.0.0.1 alone; use valkeys:// or rediss://")
    return text


StoreUrl = Annotated[str, AfterValidator(_store)]
DeploymentName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


def _addresses(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        if not host_port(text).host:
            raise ValueError("give host:port of each, such as sentinel-1.example.org:26379")
    return texts


StoreAddresses = Annotated[tuple[str, ...], AfterValidator(_addresses)]


class StateSettings(Section):
    """Where what is taken of limits is held."""

    adapter: Literal["embedded", "valkey"] = Field(
        "embedded",
        description="embedded: in the process that writes the log, for one machine; "
        "valkey: in Valkey or Redis, for several",
    )
    url: StoreUrl | None = Field(
        None, description="valkey: the server, `valkeys://user@host:port/database`, or `rediss://`"
    )
    sentinels: StoreAddresses = Field(
        (),
        description="valkey: all sentinels, `host:port`; the host of `url` is then the name they know it by",
    )
    sentinel_password_file: Path | None = Field(
        None, description="valkey: file with the password that the sentinels ask for"
    )
    password_file: Path | None = Field(
        None, description="valkey: file with the user's password; read at each connection"
    )
    ca: Path | None = Field(
        None, description="valkey: PEM file: the CA of its certificate; absent: public CAs"
    )
    certificate: Path | None = Field(None, description="valkey: PEM file: the broker's certificate there")
    key: Path | None = Field(None, description="valkey: PEM file: its private key")
    deployment: DeploymentName = Field(
        "default", description="valkey: the same for all brokers that share limits; part of each key's name"
    )
    allowance_percent: int = Field(
        0,
        ge=0,
        le=50,
        description="valkey: how much of what was left of a limit each process may let be taken while the "
        "store is away, for 5 s at most; 0: nothing, calls are refused",
    )
    wait_seconds: float = Field(
        0.05, gt=0, le=5, description="valkey: how long a call waits for it before it is refused"
    )
