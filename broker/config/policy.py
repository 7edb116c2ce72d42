"""Settings of what decides: the engine, its candidate, what the prefilter looks for, where limits count.

Knows: names, defaults, limits. Must not know: engines.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field

from broker.config.addresses import HttpOrigin
from broker.config.section import Section


def _time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("not a time zone of the IANA database, such as Europe/Berlin") from None
    return name


TimeZone = Annotated[str, AfterValidator(_time_zone)]


class OpaSettings(Section):
    """The OPA sidecar: used where policy.adapter is opa."""

    url: HttpOrigin = Field("http://127.0.0.1:8181", description="where OPA answers; https with `ca`")
    deadline_ms: int = Field(50, gt=0, le=5000, description="the longest wait for one decision")
    ca: Path | None = Field(None, description="PEM file: the CA of OPA's certificate")
    certificate: Path | None = Field(None, description="PEM file: the broker's certificate towards OPA")
    key: Path | None = Field(None, description="PEM file: its private key")
    bundle: str | None = Field(
        "broker",
        description="the bundle every answer must come from; absent from none: records say unversioned",
    )


class ShadowSettings(Section):
    """A candidate policy that is evaluated on real calls and never enforced."""

    directory: Path | None = Field(None, description="the folder of the candidate; absent: no shadow")
    sample: float = Field(1.0, gt=0, le=1, description="the share of calls that the candidate judges, too")


class PolicySettings(Section):
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


class LimitsSettings(Section):
    """What refusals may cost."""

    refusals_per_second: float = Field(
        10.0, gt=0, description="refused calls and tokens of one certificate, before it is refused unasked"
    )
    refusals_burst: int = Field(600, gt=0, description="so many at once before that rate counts")


class ContentSettings(Section):
    """Lists the prefilter looks for; what follows from a finding is policy's."""

    banned_topics: tuple[str, ...] = Field((), description="phrases reported as topic.banned")
    injection_phrases: tuple[str, ...] | None = Field(
        None, description="phrases reported as injection.phrase; absent means the built-in list"
    )
