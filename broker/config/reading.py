"""What was written: the values of a TOML file and of the environment over it, and where each was written.

Knows: files, TOML, variables. Must not know: which values are right.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broker.config.environment import Override
from broker.config.positions import positions
from broker.config.problem import (
    NO_LINE,
    ConfigurationProblemsError,
    LocatedFault,
    Origin,
    SettingFault,
    Steps,
)
from broker.errors import ConfigError

_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")

_DEEPEST = 8  # tables, more than settings have


@dataclass(frozen=True, slots=True)
class Document:
    """`source` is the file or command; `origins` says of a place where it was written; `faults` are what
    could not be read.
    """

    source: str
    values: Mapping[str, Any]
    origins: Mapping[Steps, Origin]
    faults: tuple[SettingFault, ...] = ()

    def located(self, fault: SettingFault) -> LocatedFault:
        """The fault with the place where it, or the nearest table around it, was written."""
        for length in range(len(fault.at), 0, -1):
            if (origin := self.origins.get(fault.at[:length])) is not None:
                return LocatedFault(origin, fault)
        return LocatedFault(Origin(NO_LINE, self.source), fault)


def read(path: Path) -> Document:
    """A TOML file. Raises ConfigError for one that cannot be read, with the line where it is no TOML."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file. Try: broker serve --config broker.toml") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}. Give the path of a TOML file") from None
    values, lines = _parsed(path, raw)
    if not values:
        raise ConfigError(f"{path}: an empty file. Try: the complete example of deploy/README.md")
    return Document(str(path), values, {at: Origin(line, str(path)) for at, line in lines.items()})


def overridden(document: Document, given: Iterable[Override]) -> Document:
    """The document with the environment over it."""
    values, origins = dict(document.values), dict(document.origins)
    faults = list(document.faults)
    for each in (leaf for one in given for leaf in _leaves(one)):
        if each.why_not:
            faults.append(SettingFault(each.at, each.why_not, 'Such as ["one", "two"], or {"key": "value"}.'))
        elif each.value == {} and _is_table(values, each.at):
            continue  # nothing, laid over a table
        else:
            _put(values, each)
            origins = {at: origin for at, origin in origins.items() if at[: len(each.at)] != each.at}
        origins[each.at] = variable = Origin(NO_LINE, each.variable)
        for length in range(1, len(each.at)):
            origins.setdefault(each.at[:length], variable)
    return Document(document.source, values, origins, tuple(faults))


def _leaves(override: Override) -> Iterator[Override]:
    """One for each value of a table: of the file's table and this one, the keys of both count."""
    if not (isinstance(override.value, dict) and override.value) or len(override.at) > _DEEPEST:
        yield override
        return
    for key, value in override.value.items():
        yield from _leaves(Override(override.variable, (*override.at, key), value))


def _is_table(values: object, at: Steps) -> bool:
    for step in at:
        values = values.get(step) if isinstance(values, dict) else None
    return isinstance(values, dict)


def _put(values: dict[Any, Any], override: Override) -> None:
    *above, last = override.at
    table = values
    for step in above:
        inner = table.get(step)
        table[step] = table = dict(inner) if isinstance(inner, dict) else {}
    table[last] = override.value


def _parsed(path: Path, raw: bytes) -> tuple[Mapping[str, Any], Mapping[Steps, int]]:
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _no_toml(path, line, "a byte that is no UTF-8", "Save the file as UTF-8.") from None
    try:
        return tomllib.loads(text), positions(text)
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.search(str(error))
        line = int(place[1]) if place and place[1] else text.count("\n") + 1
        raise _no_toml(path, line, f"not TOML: {_PLACE.sub('', str(error))}") from None
    except RecursionError:
        raise _no_toml(path, NO_LINE, "tables or lists are nested too deep") from None
    except ValueError:
        raise _no_toml(path, NO_LINE, "not TOML: a number of too many digits") from None


def _no_toml(path: Path, line: float, told: str, remedy: str = "") -> ConfigError:
    return ConfigurationProblemsError(
        str(path), [LocatedFault(Origin(line, str(path)), SettingFault((), told, remedy))]
    )
