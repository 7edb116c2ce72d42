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

from broker.config.doors import Identity, Server, Tls
from broker.config.ends import Audit, Log, Upstream
from broker.config.keys import Keys, Vault
from broker.config.policy import Content, Limits, Opa, Policy, Shadow
from broker.config.section import ConfigError

_OURS = "Value error, "  # what pydantic puts before a message of ours


class Settings(BaseSettings):
    """All sections. Built by `load`."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="BROKER__", env_nested_delimiter="__"
    )

    server: Server = Field(Server(), description="where the broker listens")
    tls: Tls = Field(description="certificates")
    identity: Identity = Field(description="trust domain and tokens")
    policy: Policy = Field(description="the policy engine")
    opa: Opa = Field(Opa(), description="the OPA sidecar")
    shadow: Shadow = Field(Shadow(), description="a candidate that runs beside the live policies")
    keys: Keys = Field(description="the keys of the upstream")
    vault: Vault = Field(Vault(), description="Vault, where it holds the keys")
    upstream: Upstream = Field(Upstream(), description="the OpenAI API")
    audit: Audit = Field(description="the log")
    limits: Limits = Field(Limits(), description="rate limits and budgets")
    content: Content = Field(Content(), description="what the prefilter looks for")
    log: Log = Field(Log(), description="the process's own log")

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
            f"{source}: the configuration cannot be used:\n" + "\n".join(lines) + "\nSee README, Operator."
        ) from None


def _line(fault: ErrorDetails) -> str:
    """`  section.key: what is wrong`; what concerns several keys names them itself."""
    place = ".".join(str(step) for step in fault["loc"])
    return f"  {place}: {fault['msg']}" if place else f"  {fault['msg'].removeprefix(_OURS)}"
