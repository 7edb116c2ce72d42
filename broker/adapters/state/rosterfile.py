"""What a machine remembers of the others, in a file beside the log's keys: a store may lose all it had.

Knows one file of JSON. Must not know what follows from it. Blocking.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import orjson

from broker.adapters.state.roster import KnownMachine
from broker.errors import ConfigError
from broker.model.charge import UNITS, Taken

NAME = "state-machines.json"
_MODE = 0o600


class RosterFile:
    """One, in this folder. Whole or not at all, and durable when `write` returns."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME

    def read(self) -> dict[str, KnownMachine]:
        """Nothing where there is no file. Raises ConfigError for a damaged one, and OSError."""
        try:
            told = orjson.loads(self._path.read_bytes())
            return {name: KnownMachine(int(term), _held(held)) for name, (term, held) in told.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigError(
                f"{self._path} is damaged: it names the machines that share limits, and what those held that "
                "went away. Restore it; or remove it while all of them run"
            ) from error

    def write(self, known: Mapping[str, KnownMachine]) -> None:
        """Raises OSError."""
        told = {name: [each.term, _listed(each.held)] for name, each in known.items()}
        scratch = self._path.with_suffix(".new")
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps(told))
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(self._path)


def _listed(held: tuple[Taken, ...] | None) -> list[list[object]] | None:
    return None if held is None else [list(each) for each in held]


def _held(told: list[list[object]] | None) -> tuple[Taken, ...] | None:
    if told is None:
        return None
    return tuple(_taken(*each) for each in told)


def _taken(limit: object, unit: object, seconds: object, start: object, amount: object) -> Taken:
    return Taken(str(limit), UNITS[str(unit)], *(int(str(number)) for number in (seconds, start, amount)))
