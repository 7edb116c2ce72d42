"""Settings of the upstream.

Knows: names, defaults, limits. Must not know: adapters.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from broker.config.addresses import HttpUrl, HttpUrls
from broker.config.section import Section


class UpstreamSettings(Section):
    """The OpenAI API."""

    adapter: Literal["openai"] = Field("openai", description="the upstream: openai (HTTP)")
    base_url: HttpUrl = Field("https://api.openai.com/v1", description="the base URL of the OpenAI API")
    regions: HttpUrls = Field(
        {},
        description='region to base URL, for pool members of a region: eu = "https://eu.api.openai.com/v1"',
    )
    attempts: int = Field(4, ge=1, le=10, description="sends at most, the first included")
    connect_seconds: float = Field(5.0, gt=0, description="deadline to connect")
    read_seconds: float = Field(600.0, gt=0, description="deadline for the next bytes of a reply")
    max_connections: int = Field(4096, gt=0, description="open connections to the upstream at most")
