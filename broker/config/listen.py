"""Settings of the listeners: addresses, certificate, who callers are and the tokens they get.

Knows: names, defaults, limits. Must not know: listeners.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from broker.config.addresses import ListenAddress
from broker.config.names import HeaderPrefixes, TrustDomain
from broker.config.section import Section
from broker.model.units import SECONDS_PER_DAY


def _counted(workers: object) -> object:
    return os.cpu_count() or 1 if workers == "auto" else workers


Workers = Annotated[int, BeforeValidator(_counted)]
"""How many; `auto` is as many as there are cores."""


class ServerSettings(Section):
    """Where the broker listens."""

    https: ListenAddress = Field(
        "127.0.0.1:8443", description="host:port of the HTTPS listener; port 0 picks a free one"
    )
    grpc: ListenAddress = Field(
        "127.0.0.1:8444", description="host:port of the gRPC listener; port 0 picks a free one"
    )
    console: ListenAddress = Field(
        "127.0.0.1:8445",
        description="host:port of the plain-HTTP listener for /metrics and health; loopback only",
    )
    workers: Workers = Field(
        1,
        ge=1,
        le=256,
        description="processes that serve calls, or `auto`: one for each core; more than one have a "
        "coordinator, which alone holds keys, and a supervisor",
    )
    max_waiting: int = Field(
        4096,
        ge=2,
        description="requests that wait for their turn at most, in each worker; a subject may hold as "
        "many as are free (adr/0079)",
    )
    max_under_way: int = Field(
        4096,
        ge=2,
        description="requests under way at most, open streams included, in each worker; shared alike",
    )
    reflection: bool = Field(False, description="serve gRPC reflection; leave off in production")
    forward_headers: HeaderPrefixes = Field(
        (),
        description="how the names of further request headers that go upstream begin, e.g. x-sim- for the "
        "simulator; credentials, cookies, x-broker-… and what is of one connection never go",
    )


class TlsSettings(Section):
    """The listeners' certificate, and whose client certificates are accepted."""

    certificate: Path = Field(
        description="PEM file: the server's certificate chain; a new one is taken up within 1 s"
    )
    key: Path = Field(
        description="PEM file: the server's private key; with vault.pki_role the broker writes both"
    )
    client_ca: Path = Field(
        description="PEM file: the CAs that issue client certificates; taken up within 1 s"
    )
    max_client_life_seconds: int = Field(
        SECONDS_PER_DAY + 3600,
        gt=0,
        description="the longest accepted life of a client certificate, in seconds",
    )


class IdentitySettings(Section):
    """Who callers are, and the tokens they get."""

    trust_domain: TrustDomain = Field(description="the SPIFFE trust domain of client certificates")
    issuer: str = Field(description="the `iss` of tokens: the broker's public HTTPS URL")
    audience: str = Field("broker", description="the `aud` of tokens")
    token_key: Path = Field(description="0600 PEM file: the Ed25519 key that signs tokens; made where absent")
    token_keys: Path | None = Field(
        None,
        description="folder: the public keys of other brokers' tokens that are good here, too: *.json as "
        "they publish them, *.pem; taken up within 2 s",
    )
    certified_by: Path | None = Field(
        None,
        description="PEM file: the certifier's public keys; without a certification of theirs, no key of "
        "identity.token_keys counts",
    )
