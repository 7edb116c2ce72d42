"""What is wrong with one setting, and the error that tells all of it.

Knows: the path of a setting, how a mistake is told. Must not know: any setting, files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from broker.errors import ConfigError

Steps = tuple[str | int, ...]
"""Where a setting is: the keys of the tables from the top, and the numbers of the tables in a list."""

NO_LINE = math.inf
_NAME = re.compile(r"[\w ./:-]{1,40}\Z")


@dataclass(frozen=True, slots=True)
class SettingFault:
    """What is wrong at one place, and what to try. Neither text quotes a value that could be a secret."""

    at: Steps
    told: str
    remedy: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (f"{self.told}.", self.remedy)))


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """Where a setting was written: a line of a file; or an environment variable or a command."""

    line: float
    source: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line < NO_LINE else self.source


@dataclass(frozen=True, slots=True)
class LocatedFault:
    """A fault, and where it was written."""

    origin: Origin
    fault: SettingFault

    @property
    def place(self) -> str:
        """`broker.toml:12: server.https`"""
        return ": ".join(filter(None, (str(self.origin), dotted(self.fault.at))))

    def __str__(self) -> str:
        return f"{self.place}: {self.fault}"


class ConfigurationProblemsError(ConfigError):
    """A configuration that cannot be used, with every mistake in it, in the order of its lines."""

    def __init__(self, source: str, problems: Sequence[LocatedFault]) -> None:
        self.problems = tuple(sorted(problems, key=lambda each: each.origin))
        count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        super().__init__(
            f"{source}: the configuration cannot be used, {count}:{lines}\n"
            "See deploy/README.md, Configuration."
        )


def dotted(steps: Steps) -> str:
    """A place as an operator writes it. What cannot be a name is not shown: it may be a secret, pasted there.

    >>> dotted(("pools", "openai", "members", 0, "key"))
    'pools.openai.members.0.key'
    """
    return ".".join(shown(str(step)) for step in steps)


def shown(name: str) -> str:
    """A name, where it can be one."""
    return name if _NAME.match(name) else f"<a name of {len(name)} characters>"
