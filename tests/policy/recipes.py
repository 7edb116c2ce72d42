"""The recipes of policies/README.md as a reader follows them: files written, commands typed, outputs read.

Knows: how a recipe is written down (a block's file stands behind its language; `$ ` begins a command, and
what stands below must be said by it, in that order; `…` is anything). Must not know: what a recipe is about.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Timer
from typing import Any

from tests.docs.pages import POLICIES
from tests.nursery import the_nursery
from tests.running import environment

TEXT = POLICIES.read_text()
COMPANY, TRYING = "The company's set", "A broker to try it on"
PATIENCE_SECONDS = 60
_BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CASES = "cases := {\n"


@dataclass(frozen=True)
class Command:
    """What is typed, and lines that it must print, in this order."""

    typed: str
    said: tuple[str, ...]


@dataclass(frozen=True)
class Addition:
    """What is added to a file."""

    file: str
    language: str
    text: str


Step = Command | Addition


@dataclass(frozen=True)
class Recipe:
    title: str
    steps: tuple[Step, ...]

    @property
    def calls(self) -> bool:
        """Whether it wants a broker that runs."""
        return any(isinstance(step, Command) and step.typed == "serve" for step in self.steps)


def recipes() -> Mapping[str, Recipe]:
    """All, by title, in their order; the first two are what the others begin with."""
    parts = re.split(r"^### ", TEXT.partition("\n## Recipes\n")[2].split("\n## ")[0], flags=re.MULTILINE)[1:]
    titles = [part.partition("\n")[0] for part in parts]
    return {title: Recipe(title, tuple(_steps(part))) for title, part in zip(titles, parts, strict=True)}


def _steps(part: str) -> Iterator[Step]:
    for language, file, text in _BLOCK.findall(part):
        if language == "console":
            yield from _commands(text)
        else:
            assert file, f"a block of {language} names no file"
            yield Addition(file, language, text)


def _commands(text: str) -> Iterator[Command]:
    for typed in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        first, *said = typed.splitlines()
        yield Command(first, tuple(line for line in said if line))


def add(folder: Path, addition: Addition) -> None:
    """Objects are merged, lines put into `cases`; a file that is not there begins so, another goes on so."""
    path = folder / addition.file
    if addition.language == "json":
        old = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(merged(old, json.loads(addition.text)), indent=2))
    elif addition.language == "rego" and not addition.text.startswith(("package", "#")):
        before, found, after = path.read_text().partition(_CASES)
        assert found
        path.write_text(before + found + addition.text + after)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(addition.text)


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """
    >>> merged({"a": {"b": 1}, "c": 2}, {"a": {"d": 3}, "c": 4})
    {'a': {'b': 1, 'd': 3}, 'c': 4}
    """
    both = {
        key: merged(old[key], new[key])
        for key in old.keys() & new.keys()
        if isinstance(old[key], dict) and isinstance(new[key], dict)
    }
    return {**old, **new, **both}


class Shell:
    """One bash in a folder, so that variables, functions and what runs behind last over commands."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def says(self, command: str) -> list[str]:
        """The lines that it prints on either stream."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        patience = Timer(PATIENCE_SECONDS, self.kill)
        patience.start()
        self._process.stdin.write(f"{command}\necho; echo '@@'\n")
        self._process.stdin.flush()
        lines: list[str] = []
        for line in self._process.stdout:
            if line == "@@\n":
                patience.cancel()
                return lines
            lines.append(line.strip())
        raise AssertionError(f"the shell ended in: {command}\n" + "\n".join(lines))

    def kill(self) -> None:
        """The shell, and all that it has started."""
        os.killpg(self._process.pid, signal.SIGKILL)


@contextmanager
def shell(folder: Path, *, born: bool) -> Iterator[Shell]:
    """Finds `broker` and `python`; what it started is ended with it. Where `born` says so, `broker` is no
    console script but a copy of a process that has loaded all that the script would load.
    """
    tools, given = [str(Path(sys.executable).parent)], dict[str, str]()
    commands = TemporaryDirectory()
    if born:
        tools, given = [commands.name, *tools], the_nursery().command(Path(commands.name))
    process = subprocess.Popen(
        ["bash", "--norc"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**environment(), **given, "PATH": ":".join([*tools, os.environ["PATH"]]), "COLUMNS": "200"},
        pass_fds=[*map(int, given.values())],
        start_new_session=True,
    )
    typing = Shell(process)
    try:
        yield typing
    finally:
        patience = Timer(PATIENCE_SECONDS, typing.kill)
        patience.start()
        process.communicate("kill $(jobs -p) 2> /dev/null; wait\n")
        patience.cancel()
        commands.cleanup()


def missing(said: tuple[str, ...], lines: list[str]) -> str | None:
    """The first line that is not there behind those before it; None where all are.

    >>> missing(("good: …", "b"), ["a", "good: 7", "b"]), missing(("b", "a"), ["a", "b"])
    (None, 'a')
    """
    rest = iter(lines)
    for wanted in said:
        pattern = ".*".join(re.escape(piece) for piece in wanted.strip().split("…"))
        if not any(re.fullmatch(pattern, line) for line in rest):
            return wanted
    return None
