"""The configuration, judged as a whole before anything is started with it: every mistake is told at once.

Knows: in which order it is judged, and the process's environment. Must not know: any setting.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from broker.config.environment import overrides
from broker.config.judging import judged
from broker.config.pairs import pair_faults
from broker.config.phrases import phrase_faults
from broker.config.places import place_faults
from broker.config.problem import ConfigurationProblemsError, LocatedFault, SettingFault, Steps
from broker.config.reading import Document, overridden, read
from broker.config.settings import Settings


def load(path: Path) -> Settings:
    """The settings of a TOML file, overridden by the environment. Raises ConfigError. The paths that they
    name are not looked at: whoever reads them may be another user than the broker.
    """
    document, settings, faults = _judged(read(path))
    return _accepted(document, settings, faults)


def load_to_serve(path: Path) -> Settings:
    """The settings of a broker that is about to start: its paths are looked at, too. Raises ConfigError."""
    return _to_serve(read(path))


def parse_to_serve(values: Mapping[str, Any], source: str) -> Settings:
    """The same of plain values; `source` says where they come from."""
    return _to_serve(Document(source, values, {}))


def load_with_places(path: Path) -> tuple[Settings, list[LocatedFault]]:
    """The settings, and what is wrong at the paths that they name. Raises ConfigError where anything else is
    wrong; that tells of the paths, too.
    """
    document, settings, faults = _judged(read(path))
    misplaced = list(_start_faults(settings))
    _accepted(document, settings, [*faults, *misplaced] if faults else ())
    return settings, _located(document, misplaced)


def _to_serve(written: Document) -> Settings:
    document, settings, faults = _judged(written)
    return _accepted(document, settings, [*faults, *_start_faults(settings)])


def _start_faults(settings: Settings) -> Iterator[SettingFault]:
    """What only a start would fail at."""
    yield from place_faults(settings)
    yield from phrase_faults(settings)


def _judged(written: Document) -> tuple[Document, Settings, list[SettingFault]]:
    """What was written, the environment included, and what is wrong with it in itself."""
    document = overridden(written, overrides(Settings, os.environ))
    settings, wrong = judged(Settings, document.values)
    return document, settings, [*document.faults, *wrong, *pair_faults(settings)]


def _accepted(document: Document, settings: Settings, faults: Iterable[SettingFault]) -> Settings:
    problems = _located(document, faults)
    if problems:
        raise ConfigurationProblemsError(document.source, problems)
    return settings


def _located(document: Document, faults: Iterable[SettingFault]) -> list[LocatedFault]:
    """With their places, and one for each setting: the first says it."""
    found: dict[Steps, SettingFault] = {}
    for fault in faults:
        found.setdefault(fault.at, fault)
    return [document.located(fault) for fault in found.values()]
