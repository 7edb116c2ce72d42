"""All sections together: read from a TOML file and the environment, checked against each other.

Knows: how settings are read, and which of them need each other. Must not know: what is built from them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from broker.config.audit import AuditSettings, LogSettings, ObjectsSettings
from broker.config.credentials import (
    CredentialName,
    CredentialSettings,
    DynamicKeysSettings,
    WorkloadIdentitySettings,
)
from broker.config.keys import KeysSettings, VaultSettings
from broker.config.listen import IdentitySettings, ServerSettings, TlsSettings
from broker.config.policy import ContentSettings, LimitsSettings, OpaSettings, PolicySettings, ShadowSettings
from broker.config.pools import Credential, PoolSettings
from broker.config.upstream import UpstreamSettings
from broker.errors import ConfigError
from broker.model.pool import Pool

_OURS = "Value error, "  # what pydantic puts before a message of ours


class Settings(BaseSettings):
    """All sections. Built by `load`."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="BROKER__", env_nested_delimiter="__"
    )

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
    limits: LimitsSettings = Field(LimitsSettings(), description="rate limits and budgets")
    content: ContentSettings = Field(ContentSettings(), description="what the prefilter looks for")
    log: LogSettings = Field(LogSettings(), description="the process's own log")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file."""
        return env_settings, init_settings

    def key_pools(self) -> tuple[Pool, ...]:
        """The pools, as values of the model."""
        return tuple(each.pool(credential) for credential, each in self.pools.items())

    @model_validator(mode="after")
    def _regions_are_known(self) -> Self:
        """Where one region has a base URL of its own, no key of another may fall back to the common one."""
        known = self.upstream.regions
        for pool in self.key_pools() if known else ():
            for member in pool.members:
                if member.region is not None and member.region not in known:
                    raise ValueError(
                        f"pools.{pool.credential}: upstream.regions does not name the region {member.region} "
                        f"of the key {member.key}; it names {', '.join(known)}"
                    )
        return self

    @property
    def uses_vault(self) -> bool:
        """Whether Vault is used for anything."""
        return self.keys.adapter == "vault" or self.vault.certify or self.vault.pki_role is not None

    @model_validator(mode="after")
    def _vault_is_complete(self) -> Self:
        """A Vault that is used has all that its way to log in needs."""
        missing = list(self.vault.missing()) if self.uses_vault else []
        if missing:
            raise ValueError("\n  ".join(missing))
        return self

    @model_validator(mode="after")
    def _credentials_are_complete(self) -> Self:
        """Each has what its way needs, and there is a store for what only a store can give."""
        missing = [line for name, one in self.credentials.items() for line in one.missing(name)]
        dynamic = any(one.upstream_auth == "dynamic_key" for one in self.credentials.values())
        stored = dynamic or any(one.fallback is not None for one in self.credentials.values())
        if dynamic and self.dynamic_keys.instance is None:
            missing.append("dynamic_keys.instance: needed where a credential's upstream_auth is dynamic_key")
        if self.dynamic_keys.admin_credential in self.credentials:
            missing.append("dynamic_keys.admin_credential: must be in the store, not among the credentials")
        if self.keys.adapter == "none" and not self.credentials:
            missing.append("keys.adapter: where it is none, every credential needs a section of its own")
        if self.keys.adapter == "none" and stored:
            missing.append("keys.adapter: an admin key and a fallback need a store: sealed or vault")
        if missing:
            raise ValueError("\n  ".join(missing))
        return self


def load(path: Path) -> Settings:
    """The settings of a TOML file, overridden by the environment. Raises ConfigError."""
    try:
        values = TomlConfigSettingsSource(Settings, toml_file=path)()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: not a readable TOML file ({error}). Try: broker dev") from None
    if not values:
        raise ConfigError(f"{path}: no such file, or an empty one. Try: broker serve --config broker.toml")
    return parse(values, str(path))


def parse(values: dict[str, object], source: str) -> Settings:
    """The settings of plain values, overridden by the environment. Raises ConfigError."""
    try:
        return Settings(**values)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = [_line(fault) for fault in error.errors(include_input=False, include_url=False)]
        raise ConfigError(
            f"{source}: the configuration cannot be used:\n"
            + "\n".join(lines)
            + "\nSee deploy/README.md, Configuration."
        ) from None


def _line(fault: ErrorDetails) -> str:
    """`  section.key: what is wrong`; what concerns several keys names them itself."""
    place = ".".join(str(step) for step in fault["loc"])
    return f"  {place}: {fault['msg']}" if place else f"  {fault['msg'].removeprefix(_OURS)}"
