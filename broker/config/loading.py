"""The configuration, judged as a whole before anything is started with it: every mistake is told at once.

Knows: in which order it is judged, and the process's environment. Must not know: any setting.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from broker.config.environment import overrides
from broker.config.judging import judged
from broker.config.pairs import pair_faults
from broker.config.problem import ConfigurationProblemsError, Fault, Steps
from broker.config.reading import Document, overridden, read
from broker.config.settings import Settings


def load(path: Path) -> Settings:
    """The settings of a TOML file, overridden by the environment. Raises ConfigError."""
    return _settings(read(path))


def parse(values: Mapping[str, Any], source: str) -> Settings:
    """The settings of plain values, overridden by the environment. Raises ConfigError."""
    return _settings(Document(source, values, {}))


def _settings(written: Document) -> Settings:
    document = overridden(written, overrides(Settings, os.environ))
    settings, wrong = judged(Settings, document.values)
    faults = [*document.faults, *wrong, *pair_faults(settings)]
    if faults:
        problems = [document.located(fault) for fault in _once(faults)]
        raise ConfigurationProblemsError(document.source, problems)
    return settings


def _once(faults: list[Fault]) -> list[Fault]:
    """One for each place: the first says it."""
    found: dict[Steps, Fault] = {}
    for fault in faults:
        found.setdefault(fault.at, fault)
    return list(found.values())
