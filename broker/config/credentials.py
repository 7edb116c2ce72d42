"""Settings of credentials that are not stored: keys that the broker makes at OpenAI, and its own identity.

Knows: names, defaults, limits. Must not know: OpenAI's APIs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from broker.config.addresses import SafeUrl
from broker.config.names import Scopes
from broker.config.section import Section
from broker.model.units import SECONDS_PER_DAY

CredentialName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
_IDENTIFIER = r"^[A-Za-z0-9_-]{1,128}$"


class IssuerSettings(Section):
    """An API of OpenAI that issues keys or tokens."""

    url: SafeUrl = Field(description="its URL")
    ca: Path | None = Field(None, description="PEM file: the CA of its certificate; absent: public CAs")


class CredentialSettings(Section):
    """A credential of the policies that is in no store."""

    upstream_auth: Literal["dynamic_key", "workload_identity"] = Field(
        description="a short-lived key that the broker makes and deletes, or no key: its own identity"
    )
    project: str | None = Field(
        None, pattern=_IDENTIFIER, description="dynamic_key: the OpenAI project of its keys"
    )
    scopes: Scopes = Field(
        (), description="dynamic_key: what its keys open, in OpenAI's words; absent: all that a member may"
    )
    life_seconds: int = Field(
        3600, ge=60, le=31_536_000, description="dynamic_key: a key's life; renewed at two thirds of it"
    )
    grace_seconds: float = Field(
        600.0,
        ge=0,
        le=SECONDS_PER_DAY,
        description="dynamic_key: how long a replaced key lives on, for running calls",
    )
    subject_token: Path | None = Field(
        None, description="workload_identity: file with the broker's JWT-SVID or Kubernetes token, kept fresh"
    )
    identity_provider_id: str | None = Field(
        None, description="workload_identity: the workload identity provider at OpenAI"
    )
    service_account_id: str | None = Field(
        None, description="workload_identity: the service account at OpenAI that the broker is mapped to"
    )
    fallback: str | None = Field(
        None,
        min_length=1,
        description="workload_identity: a stored key for the time without tokens; absent: calls are refused",
    )


class DynamicKeysSettings(IssuerSettings):
    """OpenAI's admin API: used where a credential's upstream_auth is dynamic_key."""

    url: SafeUrl = Field("https://api.openai.com/v1", description="the base URL of OpenAI's admin API")
    admin_credential: str = Field(
        "openai-admin", min_length=1, description="the admin key's name in the store; no call can lease it"
    )
    instance: Path | None = Field(
        None, description="required there: 0600 file with this broker's own random name; made where absent"
    )


class WorkloadIdentitySettings(IssuerSettings):
    """OpenAI's token endpoint: used where a credential's upstream_auth is workload_identity."""

    url: SafeUrl = Field(
        "https://auth.openai.com/oauth/token", description="where tokens are exchanged (RFC 8693)"
    )
