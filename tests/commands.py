"""`broker …` in this process, as its console script runs it: a process of its own takes seconds."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from unittest import mock

import structlog

from broker.adapters.telemetry.log import LIBRARIES
from broker.cli import main as console_script


@dataclass(frozen=True)
class Done:
    """What a command said, and how it ended."""

    returncode: int
    stdout: str
    stderr: str


def typed(*words: object) -> Done:
    """Returns once it has ended. One real process for each command is another test's."""
    with ThreadPoolExecutor(1) as apart:  # a test may have an event loop of its own here
        return apart.submit(_typed, [str(word) for word in words]).result()


def _typed(words: list[str]) -> Done:
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    code: object = 0
    with (
        redirect_stdout(out),
        redirect_stderr(err),
        _log_kept(),
        mock.patch.object(sys, "argv", ["broker", *words]),
    ):
        try:
            console_script.main()
        except SystemExit as end:
            code = end.code
    said, told = (stream.buffer.getvalue().decode() for stream in (out, err))
    return Done(int(code or 0) if isinstance(code, int) or code is None else 1, said, told)


@contextmanager
def _log_kept() -> Iterator[None]:
    """A command sets the process's log up for itself, that of libraries too."""
    before = structlog.get_config()
    loggers = [(one, one.handlers, one.propagate, one.level) for one in map(logging.getLogger, LIBRARIES)]
    try:
        yield
    finally:
        structlog.configure(**before)
        for logger, handlers, propagate, level in loggers:
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
