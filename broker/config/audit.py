"""Settings of what is kept: the audit log, owners of stored objects, the process's own log.

Knows: names, defaults, limits. Must not know: adapters.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from broker.config.names import LogOrigin
from broker.config.section import Section


class AuditSettings(Section):
    """The log."""

    adapter: Literal["files"] = Field("files", description="the ledger: files (tlog-tiles in a folder)")
    directory: Path = Field(description="the folder of the log; one broker writes it")
    origin: LogOrigin = Field(description="the log's origin line, unique to it, e.g. broker.example.com/log1")
    keys: Path = Field(description="the folder of the 0600 keys that sign records and checkpoints")
    refusals_recorded: int = Field(
        100,
        ge=1,
        description="refusals of a subject for one reason with records of their own; more are counted",
    )
    warn_free_bytes: int = Field(
        1024**3, ge=0, description="less space than this for the log is warned of (broker_log_free_bytes)"
    )
    floor_free_bytes: int = Field(
        128 * 1024**2, ge=0, description="with less space than this no call is begun; readiness says so"
    )


class ObjectsSettings(Section):
    """What is remembered of the objects that OpenAI keeps: whose they are."""

    keep_days: int = Field(
        31, ge=1, le=3650, description="an owner of a response is remembered so long; OpenAI keeps it 30 days"
    )
    most: int = Field(
        5_000_000, ge=1000, description="objects that are remembered at most; then the oldest go"
    )


class LogSettings(Section):
    """The process's own log on standard error. It never holds what a caller sent."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="the least level shown")
    format: Literal["auto", "json", "text"] = Field("auto", description="auto: text on a terminal, else json")
