"""Settings of where the real OpenAI keys are: a sealed file, or Vault and how the broker logs in there.

Knows: names, defaults, limits. Must not know: stores.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from broker.config.addresses import HttpsOrigins
from broker.config.names import ServerNames
from broker.config.section import Section
from broker.model.units import SECONDS_PER_DAY


class KeysSettings(Section):
    """Where the real OpenAI keys are."""

    adapter: Literal["sealed", "vault", "none"] = Field(
        "sealed",
        description="the store: sealed (AES-256-GCM file), vault (HashiCorp Vault, OpenBao) or none",
    )
    directory: Path | None = Field(
        None, description="sealed, required there: the folder of the keystore and its 0600 seal key"
    )
    hold_seconds: float = Field(
        60.0,
        gt=0,
        le=300,
        description="how long a key may stay in memory, and be used while its store is away",
    )


class VaultSettings(Section):
    """Vault: used where keys.adapter is vault, and for what `certify` and `pki_role` say."""

    addresses: HttpsOrigins = Field(
        (), description="https origins of one cluster's nodes or its load balancer; asked in this order"
    )
    namespace: str | None = Field(None, description="the namespace (Enterprise, OpenBao), e.g. teams/broker")
    ca: Path | None = Field(None, description="PEM file: the CA of Vault's certificate; absent: public CAs")
    certificate: Path | None = Field(None, description="PEM file: the broker's client certificate for Vault")
    key: Path | None = Field(None, description="PEM file: its private key")
    mount: str = Field("secret", min_length=1, description="the KV version 2 mount with the keys")
    prefix: str = Field(
        "openai", min_length=1, description="the folder below the mount; keys are mount/prefix/name"
    )
    auth: Literal["approle", "cert", "jwt", "kubernetes"] = Field(
        "approle", description="how the broker logs in"
    )
    auth_mount: str | None = Field(
        None, description="where that auth method is mounted; absent: its own name"
    )
    role: str = Field("broker", min_length=1, description="cert, jwt, kubernetes: the role to log in as")
    role_id: str | None = Field(None, description="approle: the role id, no secret")
    wrapped_secret_id: Path | None = Field(
        None, description="approle: 0600 file with the response-wrapping token of a secret id"
    )
    kept_secret_id: Path | None = Field(
        None,
        description="approle: 0600 file, best on tmpfs, where the secret id outlives a crash; absent: "
        "vault.secret-id in systemd's RUNTIME_DIRECTORY, where there is one",
    )
    jwt: Path | None = Field(
        None,
        description="jwt: file with the JWT that something keeps fresh; kubernetes: absent: the pod's own",
    )

    certify: bool = Field(
        False, description="have Transit certify the keys and checkpoints of the log, and the token key"
    )
    transit_mount: str = Field("transit", min_length=1, description="certify: the Transit mount")
    transit_name: str = Field(
        "broker", min_length=1, description="certify: the name of its key: Ed25519, not exportable"
    )
    certify_seconds: float = Field(
        60.0,
        ge=1,
        le=SECONDS_PER_DAY,
        description="certify: a new checkpoint is certified so often, and at the end",
    )
    pki_mount: str = Field("pki", min_length=1, description="pki_role: the PKI mount")
    pki_role: str | None = Field(
        None,
        min_length=1,
        description="the role that signs the listeners' certificate; absent: files are yours",
    )
    server_names: ServerNames = Field(
        (), description="pki_role: the DNS names and IP addresses that clients reach the broker by"
    )
