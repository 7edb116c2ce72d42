"""The process's own log: no line holds an exception's text, which could be a caller's."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

import pytest

SECRET = "sk-canary-0123456789"
PROGRAM = """
import logging, sys, structlog
from broker.adapters.telemetry import configure_log

configure_log(sys.argv[1], sys.argv[2])
log = structlog.get_logger()

def fails(prompt):
    raise ValueError(f"cannot take {prompt}")

try:
    fails(sys.stdin.read())
except ValueError as error:
    log.error("call_failed", exception=error)
    logging.getLogger("uvicorn.error").exception("while serving %s", error)
    logging.getLogger("asyncio").error("Task exception: %r", error, exc_info=error)
    logging.getLogger("grpc.aio").error("no exception here: %s", error)
log.info("told")
log.debug("whispered")
"""


def logged(level: str, style: str) -> str:
    """What the program above writes, in a process of its own: the log's set-up is for a whole process."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, level, style],
        input=SECRET,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize("style", ["json", "text", "auto"])
def test_exception_text_is_never_printed(style: str) -> None:
    said = logged("debug", style)
    assert SECRET not in said
    assert "cannot take" not in said
    assert "ValueError" in said


def test_a_line_says_what_failed_and_where() -> None:
    lines = [json.loads(line) for line in logged("info", "json").splitlines()]
    assert [line["event"] for line in lines] == ["call_failed", *["library_error"] * 3, "told"]
    assert lines[0]["exception"] == "ValueError"
    assert lines[0]["at"][-1].startswith("fails:")
    assert [line["library"] for line in lines[1:4]] == ["uvicorn.error", "asyncio", "grpc.aio"]
    assert all(line["timestamp"].endswith("Z") for line in lines)


@pytest.mark.parametrize(("level", "told"), [("info", True), ("warning", False), ("error", False)])
def test_the_level_is_the_least_that_is_shown(level: str, *, told: bool) -> None:
    said = logged(level, "json")
    assert ("told" in said) is told
    assert "whispered" not in said
    assert "call_failed" in said


def test_the_log_of_this_test_process_is_untouched() -> None:
    assert logging.getLogger("uvicorn.error").propagate
