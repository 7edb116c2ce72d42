"""The settings: read once from a TOML file and the environment, frozen afterwards.

Knows: names, defaults, limits. Must not know: what is built from them (`app.py` does). It is the only
reader of the environment: every key is also `BROKER__SECTION__KEY`. No setting holds a secret: keys are
files, named here by their path.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)


def _time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("not a time zone of the IANA database, such as Europe/Berlin") from None
    return name


TimeZone = Annotated[str, AfterValidator(_time_zone)]


class ConfigError(ValueError):
    """The configuration cannot be used; the message names each key, what is wrong and what to try."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Server(_Section):
    """Where the broker listens."""

    https: str = Field("127.0.0.1:8443", description="host:port of the HTTPS door; port 0 picks a free one")
    grpc: str = Field("127.0.0.1:8444", description="host:port of the gRPC door; port 0 picks a free one")
    console: str = Field(
        "127.0.0.1:8445",
        description="host:port of the plain-HTTP listener for /metrics and health; loopback only",
    )
    reflection: bool = Field(False, description="serve gRPC reflection; leave off in production")
    forward_headers: tuple[str, ...] = Field(
        (), description="further request header prefixes that go upstream, e.g. x-sim- for the simulator"
    )


class Tls(_Section):
    """The doors' certificate, and whose client certificates are accepted."""

    certificate: Path = Field(description="PEM file: the server's certificate chain")
    key: Path = Field(description="PEM file: the server's private key")
    client_ca: Path = Field(description="PEM file: the CAs that issue client certificates")
    max_client_life_seconds: int = Field(
        86_400 + 3600, gt=0, description="the longest accepted life of a client certificate, in seconds"
    )


class Identity(_Section):
    """Who callers are, and the tokens they get."""

    trust_domain: str = Field(description="the SPIFFE trust domain of client certificates")
    issuer: str = Field(description="the `iss` of tokens: the broker's public HTTPS URL")
    audience: str = Field("broker", description="the `aud` of tokens")
    token_key: Path = Field(description="0600 PEM file: the Ed25519 key that signs tokens; made where absent")


class Opa(_Section):
    """The OPA sidecar: used where policy.adapter is opa."""

    url: str = Field("http://127.0.0.1:8181", description="where OPA answers; https with `ca`")
    deadline_ms: int = Field(50, gt=0, le=5000, description="the longest wait for one decision")
    ca: Path | None = Field(None, description="PEM file: the CA of OPA's certificate")
    certificate: Path | None = Field(None, description="PEM file: the broker's certificate towards OPA")
    key: Path | None = Field(None, description="PEM file: its private key")
    bundle: str | None = Field(
        "broker",
        description="the bundle every answer must come from; absent from none: records say unversioned",
    )


class Shadow(_Section):
    """A candidate policy that is evaluated on real calls and never enforced."""

    directory: Path | None = Field(None, description="the folder of the candidate; absent: no shadow")
    sample: float = Field(1.0, gt=0, le=1, description="the share of calls that the candidate judges, too")


class Policy(_Section):
    """Who decides."""

    adapter: Literal["embedded", "opa"] = Field(
        "embedded", description="the engine: embedded (rego-cpp) or opa (a sidecar)"
    )
    directory: Path | None = Field(
        None, description="embedded: the folder of Rego modules and data, unsigned, for development"
    )
    bundle: Path | None = Field(
        None, description="the signed bundle: what embedded evaluates, and what the console serves to OPA"
    )
    verification_key: Path | None = Field(
        None, description="PEM file: the public key of who signs bundles; without it no bundle is used"
    )
    time_zone: TimeZone = Field("UTC", description="where `input.time.weekday` and `.clock` are read")

    @model_validator(mode="after")
    def _sources(self) -> Self:
        """Exactly one source for the embedded engine, and no bundle that nobody could have signed."""
        if self.adapter == "embedded" and (self.directory is None) is (self.bundle is None):
            raise ValueError("the embedded engine needs either `directory` or `bundle`")
        if self.bundle is not None and self.verification_key is None:
            raise ValueError("`bundle` needs `verification_key`: an unsigned bundle is never used")
        return self


class Keys(_Section):
    """Where the real OpenAI keys are."""

    adapter: Literal["sealed"] = Field("sealed", description="the store: sealed (AES-256-GCM file)")
    directory: Path = Field(description="the folder of the sealed keystore and its 0600 seal key")
    hold_seconds: float = Field(60.0, gt=0, le=60, description="how long an unsealed key may stay in memory")


class Upstream(_Section):
    """The OpenAI API."""

    adapter: Literal["openai"] = Field("openai", description="the upstream: openai (HTTP)")
    base_url: str = Field("https://api.openai.com/v1", description="the base URL of the OpenAI API")
    attempts: int = Field(4, ge=1, le=10, description="sends at most, the first included")
    connect_seconds: float = Field(5.0, gt=0, description="deadline to connect")
    read_seconds: float = Field(600.0, gt=0, description="deadline for the next bytes of a reply")
    max_connections: int = Field(2000, gt=0, description="open connections to the upstream at most")


class Audit(_Section):
    """The log."""

    adapter: Literal["files"] = Field("files", description="the ledger: files (tlog-tiles in a folder)")
    directory: Path = Field(description="the folder of the log; one broker process writes it")
    origin: str = Field(description="the log's origin line, unique to it, e.g. broker.example.com/log1")
    keys: Path = Field(description="the folder of the 0600 keys that sign records and checkpoints")


class Limits(_Section):
    """Where rate limits and budgets are counted."""

    adapter: Literal["memory"] = Field("memory", description="the counters: memory (this process)")


class Content(_Section):
    """Lists the prefilter looks for; what follows from a finding is policy's."""

    banned_topics: tuple[str, ...] = Field((), description="phrases reported as topic.banned")
    injection_phrases: tuple[str, ...] | None = Field(
        None, description="phrases reported as injection.phrase; absent means the built-in list"
    )


class Log(_Section):
    """The process's own log on standard error. It never holds what a caller sent."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="the least level shown")
    format: Literal["auto", "json", "text"] = Field("auto", description="auto: text on a terminal, else json")


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
        lines = [
            f"  {'.'.join(str(step) for step in fault['loc'])}: {fault['msg']}"
            for fault in error.errors(include_input=False, include_url=False)
        ]
        raise ConfigError(
            f"{source}: the configuration cannot be used:\n" + "\n".join(lines) + "\nSee README, Operator."
        ) from None
