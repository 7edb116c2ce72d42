"""All sections together.

Knows: their names. Must not know: how they are read, which of them need each other, what is built from them.
"""

from __future__ import annotations

from pydantic import Field

from broker.config.audit import AuditSettings, LogSettings, ObjectsSettings
from broker.config.credentials import (
    CredentialName,
    CredentialSettings,
    DynamicKeysSettings,
    WorkloadIdentitySettings,
)
from broker.config.keys import KeysSettings, VaultSettings
from broker.config.listen import IdentitySettings, ServerSettings, TlsSettings
from broker.config.policy import (
    ContentSettings,
    LimitsSettings,
    OpaSettings,
    PolicySettings,
    ShadowSettings,
)
from broker.config.pools import Credential, PoolSettings
from broker.config.section import Section
from broker.config.state import StateSettings
from broker.config.upstream import UpstreamSettings
from broker.model.pool import Pool


class Settings(Section):
    """All sections. Built by `load`."""

    server: ServerSettings = Field(ServerSettings(), description="where the broker listens")
    tls: TlsSettings = Field(description="certificates")
    identity: IdentitySettings = Field(description="trust domain and tokens")
    policy: PolicySettings = Field(description="the policy engine")
    opa: OpaSettings = Field(OpaSettings(), description="the OPA sidecar")
    shadow: ShadowSettings = Field(
        ShadowSettings(), description="a candidate that runs beside the live policies"
    )
    keys: KeysSettings = Field(description="the keys of the upstream")
    vault: VaultSettings = Field(VaultSettings(), description="Vault, where it holds the keys")
    pools: dict[Credential, PoolSettings] = Field({}, description="several keys behind one credential")
    credentials: dict[CredentialName, CredentialSettings] = Field(
        {}, description="credentials that are in no store"
    )
    dynamic_keys: DynamicKeysSettings = Field(DynamicKeysSettings(), description="OpenAI's admin API")
    workload_identity: WorkloadIdentitySettings = Field(
        WorkloadIdentitySettings(), description="OpenAI's token endpoint"
    )
    upstream: UpstreamSettings = Field(UpstreamSettings(), description="the OpenAI API")
    audit: AuditSettings = Field(description="the log")
    objects: ObjectsSettings = Field(ObjectsSettings(), description="owners of what OpenAI keeps")
    state: StateSettings = Field(StateSettings(), description="what is taken of rate limits and budgets")
    limits: LimitsSettings = Field(LimitsSettings(), description="what refusals may cost")
    content: ContentSettings = Field(ContentSettings(), description="what the prefilter looks for")
    log: LogSettings = Field(LogSettings(), description="the process's own log")

    def key_pools(self) -> tuple[Pool, ...]:
        """The pools, as values of the model."""
        return tuple(each.pool(credential) for credential, each in self.pools.items())

    @property
    def uses_vault(self) -> bool:
        """Whether Vault is used for anything."""
        return self.keys.adapter == "vault" or self.vault.certify or self.vault.pki_role is not None
